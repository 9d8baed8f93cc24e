//! The monitoring port: HTTP around [`Pages`]. Knows paths, headers and limits, not documents.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::routing::any;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::pages::{Pages, ROUTES, Reply};
use crate::monitor::views::metrics::CONTENT_TYPE as CONTENT_TYPE_METRICS;
use crate::types::limits::{
    MONITOR_CONNECTION_NS_MAX, MONITOR_CONNECTIONS_MAX, MONITOR_HEADER_BYTES_MAX,
    MONITOR_REQUEST_NS_MAX,
};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// How long to wait after a failed accept: most often, the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until dropped, which also ends the connections. The base path is that of the facts now.
pub async fn serve(listener: TcpListener, pages: Arc<Pages>) {
    let base_path = normalized(&pages.facts().http_base_path);
    let router = router(pages, &base_path);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MONITOR_CONNECTIONS_MAX {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, router.clone()));
            }
            Err(error) => {
                tracing::warn!("monitoring: cannot accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, request after request; one that is idle for as long as a request may take is
/// closed. Its errors are the peer's and are not told.
async fn converse(stream: TcpStream, router: Router) {
    let request_time = Duration::from_nanos(MONITOR_REQUEST_NS_MAX);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(request_time)
        .max_header_size(MONITOR_HEADER_BYTES_MAX)
        // As the reference spells them: scripts grep for `Content-Type`.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let life = Duration::from_nanos(MONITOR_CONNECTION_NS_MAX);
    if timeout(life, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(request_time, connection).await;
    }
}

fn router(pages: Arc<Pages>, base_path: &str) -> Router {
    // An operator's path may hold what a router takes for a pattern.
    let literal = base_path.replace('{', "{{").replace('}', "}}");
    let mut router = Router::new().without_v07_checks();
    for (at, route) in ROUTES.iter().enumerate() {
        let path = match route.path {
            "/" if !literal.is_empty() => literal.clone(),
            path => format!("{literal}{path}"),
        };
        let show = move |State(pages): State<Arc<Pages>>, RawQuery(query): RawQuery| async move {
            response(pages.answer(at, query.as_deref().unwrap_or_default()).await)
        };
        router = router.route(&path, any(show));
    }
    router.fallback(|| async { not_found() }).with_state(pages)
}

/// One leading slash and none at the end; empty for the root.
fn normalized(base_path: &str) -> String {
    let segments = base_path.split('/').filter(|segment| !segment.is_empty());
    segments.fold(String::new(), |path, segment| path + "/" + segment)
}

fn response(reply: Reply) -> Response<Body> {
    match reply {
        Reply::Json { status, body } => {
            let mut response =
                with_type(status, HeaderValue::from_static("application/json"), body);
            let anyone = HeaderValue::from_static("*");
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, anyone);
            response
        }
        Reply::Html(body) => {
            with_type(200, HeaderValue::from_static("text/html; charset=utf-8"), body)
        }
        Reply::Metrics(body) => {
            with_type(200, HeaderValue::from_static(CONTENT_TYPE_METRICS), body)
        }
        Reply::Text { status, body } => with_type(status, TEXT, body),
    }
}

fn not_found() -> Response<Body> {
    let mut response = with_type(404, TEXT, "404 page not found\n");
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn with_type(status: u16, content_type: HeaderValue, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).expect("pages name real statuses");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests;
