//! Shard 0's part of the API: calls about all streams, and the way of every other call to the
//! core that owns its stream.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::call::{Call, StreamCall};
use super::level::check_level;
use super::requests::{RestoreRequest, StreamsRequest, is_nothing, optional_body};
use crate::jetstream::config::{
    API_LEVEL, Mode, Storage, StreamBounds, StreamConfig, StreamRequest, parse,
};
use crate::jetstream::error::ApiError;
use crate::jetstream::ground::{Ground, Reply};
use crate::jetstream::info::{AccountInfo, AccountLimits, ApiStats, Page, Tier, answer};
use crate::jetstream::letter::{Letter, Posting, Request, StreamCard, Usage};
use crate::jetstream::registry::{Entry, Registry, Stage};
use crate::types::pattern::overlap;
use crate::types::{AccountId, Now, ShardId, json};

/// An answer that waits for what other cores tell.
#[derive(Debug)]
struct Gathering {
    request: Request,
    what: Gather,
    missing: usize,
    usage: Usage,
    infos: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
enum Gather {
    AccountInfo,
    StreamList(Page),
}

/// The registry, and what is being asked of it.
#[derive(Debug)]
pub struct Front {
    registry: Registry,
    shards: usize,
    gatherings: BTreeMap<u32, Gathering>,
    next_gathering: u32,
    calls: Counts,
}

/// Calls since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub total: u64,
    /// Those that were refused.
    pub errors: u64,
}

/// Names in one page of STREAM.NAMES, streams in one page of STREAM.LIST.
const NAMES_PAGE: usize = 1024;
const LIST_PAGE: usize = 256;

/// Where answers go and letters leave.
pub struct Desk<'a> {
    pub ground: &'a mut Ground,
    pub postings: &'a mut Vec<Posting>,
    pub now: Now,
}

impl Desk<'_> {
    pub fn reply(&mut self, request: &Request, body: &[u8]) {
        self.ground.answer(None, request, &Reply::now(body.to_vec()), self.now.wall);
    }

    fn post(&mut self, to: ShardId, letter: Letter) {
        self.postings.push(Posting { to, letter });
    }
}

impl Front {
    pub fn new(shards: usize, waiting_max: usize) -> Self {
        Self {
            registry: Registry::new(shards, waiting_max),
            shards,
            gatherings: BTreeMap::new(),
            next_gathering: 0,
            calls: Counts::default(),
        }
    }

    pub fn calls(&self) -> Counts {
        self.calls
    }

    /// A request to the API.
    pub fn on_request(&mut self, request: Request, desk: &mut Desk<'_>) {
        if !self.registry.is_complete() {
            self.registry.wait(request);
            return;
        }
        let subject = request.subject.clone();
        let domain = desk.ground.site.domain.clone();
        let Some(call) = Call::parse(&subject, domain.as_deref()) else { return };
        self.calls.total += 1;
        if let Err(error) = check_level(&request.headers) {
            return self.refuse(&request, &call, &error, desk);
        }
        match call {
            Call::AccountInfo => self.gather(request, Gather::AccountInfo, None, desk),
            Call::StreamNames | Call::StreamList => self.list(request, &call, desk),
            Call::StreamCreate(name) => self.create(request, name, &call, desk),
            Call::StreamUpdate(name) => self.update(request, name, &call, desk),
            Call::Stream(StreamCall::Restore, name) => self.restore(request, name, &call, desk),
            _ => self.pass_on(request, &call, desk),
        }
    }

    fn refuse(
        &mut self,
        request: &Request,
        call: &Call<'_>,
        error: &ApiError,
        desk: &mut Desk<'_>,
    ) {
        self.calls.errors += 1;
        if !call.is_silent() {
            desk.reply(request, &call.refusal(error));
        }
    }

    /// To the core that owns the stream.
    fn pass_on(&mut self, request: Request, call: &Call<'_>, desk: &mut Desk<'_>) {
        let Some(name) = call.of_stream() else { return };
        if call.wants_cluster() {
            return self.refuse(&request, call, &ApiError::cluster_required(), desk);
        }
        if let Err(error) = call.check_empty(&request.body) {
            return self.refuse(&request, call, &error, desk);
        }
        if call.wants_body() && is_nothing(&request.body) {
            return self.refuse(&request, call, &ApiError::bad_request(), desk);
        }
        let account = request.account();
        let found = self.registry.get_mut(account, name);
        let Some(entry) =
            found.filter(|entry| !matches!(entry.stage, Stage::Leaving | Stage::Restoring))
        else {
            return self.refuse_missing(&request, call, desk);
        };
        let owner = entry.owner;
        if let Call::Stream(StreamCall::Delete, _) = call {
            entry.stage = Stage::Leaving;
            return desk.post(owner, Letter::Delete { request });
        }
        desk.post(owner, Letter::Request(request));
    }

    /// There is no such stream, which is told if nothing else is wrong.
    fn refuse_missing(&mut self, request: &Request, call: &Call<'_>, desk: &mut Desk<'_>) {
        let checked = call.check_body(&request.body, desk.ground.site.mode());
        let error = checked.err().unwrap_or_else(ApiError::stream_not_found);
        self.refuse(request, call, &error, desk);
    }

    /// The configuration a request asks for, checked and completed.
    fn checked(
        &self,
        request: &Request,
        call: &Call<'_>,
        existing: Option<&StreamConfig>,
        desk: &Desk<'_>,
    ) -> Result<StreamConfig, ApiError> {
        let asked = StreamRequest::parse(&request.body, desk.ground.site.mode())?;
        let account = request.account();
        let config = self.judged(account, call, asked, existing, desk)?;
        self.check_room(account, &config, desk)?;
        Ok(config)
    }

    /// A configuration, judged by itself.
    fn judged(
        &self,
        account: AccountId,
        call: &Call<'_>,
        asked: StreamRequest,
        existing: Option<&StreamConfig>,
        desk: &Desk<'_>,
    ) -> Result<StreamConfig, ApiError> {
        let site = &desk.ground.site;
        let find = |name: &str| self.registry.get(account, name).map(|entry| &entry.config);
        let bounds = StreamBounds {
            pedantic: asked.pedantic,
            server: &site.options.limits,
            account: &AccountLimits::default(),
            find: &find,
        };
        let (Call::StreamCreate(name) | Call::StreamUpdate(name)) = *call else {
            return Err(ApiError::bad_request());
        };
        let is_named = asked.config.name == name;
        if let Call::StreamCreate(_) = call {
            return match is_named {
                true => asked.config.check_create(&bounds),
                false => Err(ApiError::stream_mismatch()),
            };
        }
        // An update tells first what else is wrong.
        match existing {
            Some(existing) if is_named => asked.config.check_update(existing, &bounds),
            _ => {
                asked.config.check_form(&bounds)?;
                let missing = ApiError::stream_not_found();
                Err(if is_named { missing } else { ApiError::stream_mismatch() })
            }
        }
    }

    /// Its bytes can be reserved, and no other stream has its subjects.
    fn check_room(
        &self,
        account: AccountId,
        config: &StreamConfig,
        desk: &Desk<'_>,
    ) -> Result<(), ApiError> {
        self.check_reservation(account, config, desk)?;
        let mut others =
            self.registry.of_account(account).filter(|(other, _)| *other != config.name);
        if others.any(|(_, other)| shares_subjects(config, &other.config)) {
            return Err(ApiError::stream_subject_overlap());
        }
        Ok(())
    }

    /// A stream reserves its `max_bytes` of what the server may use; a new one without needs a
    /// byte. What a stream has already is not refused to it.
    fn check_reservation(
        &self,
        account: AccountId,
        config: &StreamConfig,
        desk: &Desk<'_>,
    ) -> Result<(), ApiError> {
        let options = &desk.ground.site.options;
        let (most, error) = match config.storage {
            Storage::Memory => (options.max_memory_bytes, ApiError::memory_resources_exceeded()),
            Storage::File => (options.max_file_bytes, ApiError::storage_resources_exceeded()),
        };
        let wanted = config.reserved_bytes();
        let existing = self.registry.get(account, &config.name);
        if existing.is_some_and(|existing| wanted <= existing.config.reserved_bytes()) {
            return Ok(());
        }
        let others = self
            .registry
            .of_account(account)
            .filter(|(name, other)| *name != config.name && other.config.storage == config.storage);
        let others = others.map(|(_, other)| other.config.reserved_bytes());
        let others = others.fold(0, u64::saturating_add);
        match most {
            Some(most) if others.saturating_add(wanted.max(1)) > most => Err(error),
            _ => Ok(()),
        }
    }

    fn create(&mut self, request: Request, name: &str, call: &Call<'_>, desk: &mut Desk<'_>) {
        let account = request.account();
        if self.registry.get(account, name).is_some_and(|entry| entry.stage == Stage::Leaving) {
            self.registry.wait(request);
            return;
        }
        let config = match self.creatable(&request, name, call, desk) {
            Ok(config) => config,
            Err(error) => return self.refuse(&request, call, &error, desk),
        };
        let (owner, incarnation) = match self.registry.get(account, name) {
            Some(entry) => (entry.owner, entry.incarnation),
            None => self.registry.reserve(account, config.clone(), Stage::Making, desk.now.wall),
        };
        let card = card(&request, &config, incarnation);
        desk.post(owner, Letter::Create { card, request });
    }

    /// The configuration of a stream that may be made, or is there already. What has the name is
    /// looked at before there is room for it.
    fn creatable(
        &self,
        request: &Request,
        name: &str,
        call: &Call<'_>,
        desk: &Desk<'_>,
    ) -> Result<StreamConfig, ApiError> {
        let account = request.account();
        let asked = StreamRequest::parse(&request.body, desk.ground.site.mode())?;
        let config = self.judged(account, call, asked, None, desk)?;
        match self.registry.get(account, name) {
            Some(entry) if entry.config == config && entry.stage != Stage::Restoring => {}
            Some(_) => return Err(ApiError::stream_name_exist()),
            None => self.check_room(account, &config, desk)?,
        }
        Ok(config)
    }

    /// A stream that will come out of a snapshot: its name is reserved, its owner takes it in.
    fn restore(&mut self, request: Request, name: &str, call: &Call<'_>, desk: &mut Desk<'_>) {
        let account = request.account();
        if self.registry.get(account, name).is_some_and(|entry| entry.stage == Stage::Leaving) {
            self.registry.wait(request);
            return;
        }
        let config = match self.restorable(&request, name, desk) {
            Ok(config) => config,
            Err(error) => return self.refuse(&request, call, &error, desk),
        };
        let (config_kept, stage) = (config.clone(), Stage::Restoring);
        let reserved = self.registry.reserve(account, config_kept, stage, desk.now.wall);
        let (owner, incarnation) = reserved;
        let card = card(&request, &config, incarnation);
        desk.post(owner, Letter::Restore { card, request });
    }

    /// The configuration of a stream that may be restored.
    fn restorable(
        &self,
        request: &Request,
        name: &str,
        desk: &Desk<'_>,
    ) -> Result<StreamConfig, ApiError> {
        if is_nothing(&request.body) {
            return Err(ApiError::bad_request());
        }
        let mode = desk.ground.site.mode();
        let root = "JSApiStreamRestoreRequest";
        let mut config = parse::<RestoreRequest>(&request.body, mode, root)?.config;
        if config.name.is_empty() {
            config.name = name.into();
        }
        if config.name != name {
            return Err(ApiError::stream_mismatch());
        }
        // Only what is new can't be sealed.
        let is_sealed = std::mem::take(&mut config.sealed);
        let asked = StreamRequest { config, pedantic: false };
        let create = Call::StreamCreate(name);
        let mut config = self.judged(request.account(), &create, asked, None, desk)?;
        config.sealed = is_sealed;
        self.check_room(request.account(), &config, desk)?;
        match self.registry.get(request.account(), name) {
            Some(_) => Err(ApiError::stream_name_exist_restore_failed()),
            None => Ok(config),
        }
    }

    fn update(&mut self, request: Request, name: &str, call: &Call<'_>, desk: &mut Desk<'_>) {
        let account = request.account();
        let is_there = |entry: &&Entry| matches!(entry.stage, Stage::Making | Stage::Live);
        let found = self.registry.get(account, name).filter(is_there);
        let home = found.map(|entry| (entry.owner, entry.incarnation));
        let existing = found.map(|entry| &entry.config);
        let config = match self.checked(&request, call, existing, desk) {
            Ok(config) => config,
            Err(error) => return self.refuse(&request, call, &error, desk),
        };
        let Some((owner, incarnation)) = home else { return };
        if let Some(entry) = self.registry.get_mut(account, name) {
            entry.config = config.clone();
        }
        let card = card(&request, &config, incarnation);
        desk.post(owner, Letter::Update { card, request });
    }

    /// NAMES and LIST: the streams whose subjects have something in common with the one asked for.
    fn list(&mut self, request: Request, call: &Call<'_>, desk: &mut Desk<'_>) {
        let is_list = *call == Call::StreamList;
        let root = if is_list { "JSApiStreamListRequest" } else { "JSApiStreamNamesRequest" };
        let asked: StreamsRequest = match optional_body(&request.body, root) {
            Ok(asked) => asked,
            Err(error) => return self.refuse(&request, call, &error, desk),
        };
        let wanted = |config: &StreamConfig| {
            let subject = asked.subject.as_bytes();
            let mut subjects = config.subjects.iter();
            subject.is_empty() || subjects.any(|own| overlap(own.as_bytes(), subject))
        };
        let streams = self.registry.of_account(request.account());
        let live = streams.filter(|(_, entry)| entry.stage == Stage::Live && wanted(&entry.config));
        let names: Vec<String> = live.map(|(name, _)| name.to_owned()).collect();
        let limit = if is_list { LIST_PAGE } else { NAMES_PAGE };
        let offset = usize::try_from(asked.offset).unwrap_or(0).min(names.len());
        let page = &names[offset..(offset + limit).min(names.len())];
        let head = Page { total: names.len() as u64, offset: offset as u64, limit: limit as u64 };
        if is_list {
            return self.gather(request, Gather::StreamList(head), Some(page), desk);
        }
        // The reference tells an empty list of names as none at all.
        let streams = (!page.is_empty()).then_some(page);
        desk.reply(&request, &answer("stream_names", &Names { page: head, streams }));
    }

    /// Asks every core; the answer follows from what they tell.
    fn gather(
        &mut self,
        request: Request,
        what: Gather,
        names: Option<&[String]>,
        desk: &mut Desk<'_>,
    ) {
        self.next_gathering = self.next_gathering.wrapping_add(1);
        let (id, account) = (self.next_gathering, request.account);
        let (missing, usage) = (self.shards, Usage::default());
        let infos = BTreeMap::new();
        self.gatherings.insert(id, Gathering { request, what, missing, usage, infos });
        for shard in 0..self.shards {
            let letter = Letter::Gather { id, account, names: names.map(<[String]>::to_vec) };
            desk.post(ShardId(shard as u16), letter);
        }
    }

    fn on_gathered(
        &mut self,
        id: u32,
        usage: Usage,
        infos: Vec<(String, Vec<u8>)>,
        desk: &mut Desk<'_>,
    ) {
        let Some(gathering) = self.gatherings.get_mut(&id) else { return };
        gathering.usage += usage;
        gathering.infos.extend(infos);
        gathering.missing -= 1;
        if gathering.missing > 0 {
            return;
        }
        let Some(gathering) = self.gatherings.remove(&id) else { return };
        let body = match gathering.what {
            Gather::AccountInfo => {
                answer("account_info", &self.account_info(gathering.usage, desk))
            }
            Gather::StreamList(page) => {
                let raw = |json| RawValue::from_string(String::from_utf8(json).ok()?).ok();
                let streams = gathering.infos.into_values().filter_map(raw).collect();
                answer("stream_list", &List { page, streams })
            }
        };
        desk.reply(&gathering.request, &body);
    }

    fn account_info(&self, usage: Usage, desk: &Desk<'_>) -> AccountInfo {
        AccountInfo {
            usage: Tier {
                memory: usage.memory,
                storage: usage.file,
                reserved_memory: usage.reserved_memory,
                reserved_storage: usage.reserved_file,
                streams: usage.streams,
                consumers: usage.consumers,
                limits: Default::default(),
            },
            domain: desk.ground.site.domain.clone(),
            // The call that asks is counted when it is answered.
            api: ApiStats {
                level: API_LEVEL,
                total: self.calls.total.saturating_sub(1),
                errors: self.calls.errors,
                inflight: 0,
            },
            tiers: BTreeMap::new(),
        }
    }

    /// A letter for the registry.
    pub fn on_letter(&mut self, from: ShardId, letter: Letter, desk: &mut Desk<'_>) {
        match letter {
            Letter::Created(card) => {
                if let Some(entry) = self.registry.get_mut(card.account(), &card.name)
                    && entry.stage != Stage::Leaving
                {
                    entry.stage = Stage::Live;
                }
            }
            Letter::Unchanged { kept, refused } => self.keep(kept, &refused),
            Letter::Refused { account, name, incarnation }
            | Letter::Deleted { account, name, incarnation } => {
                self.registry.forget(AccountId(account), &name, incarnation);
                self.look_again(desk);
            }
            Letter::Stays { account, name, incarnation } => {
                if let Some(entry) = self.registry.get_mut(AccountId(account), &name)
                    && entry.incarnation == incarnation
                {
                    entry.stage = Stage::Live;
                }
                self.look_again(desk);
            }
            Letter::Report(cards) => {
                let superseded = self.registry.on_report(from, cards.into_iter().filter_map(read));
                for (owner, card) in superseded {
                    desk.post(owner, Letter::Supersede(card));
                }
                self.look_again(desk);
            }
            Letter::Gathered { id, usage, infos } => self.on_gathered(id, usage, infos, desk),
            Letter::Failed => self.calls.errors += 1,
            _ => {}
        }
    }

    /// The owner did not take an update: the registry has the stream as it was again, unless it
    /// has let it change once more since.
    fn keep(&mut self, kept: StreamCard, refused: &[u8]) {
        let Some((card, config)) = read(kept) else { return };
        let account = card.account();
        if let Some(entry) = self.registry.get_mut(account, &card.name)
            && entry.incarnation == card.incarnation
            && json::compact(&entry.config) == refused
        {
            entry.config = config;
        }
    }

    /// Requests that waited for a name or for the reports.
    fn look_again(&mut self, desk: &mut Desk<'_>) {
        if self.registry.is_complete() {
            for request in self.registry.take_waiting() {
                self.on_request(request, desk);
            }
        }
    }
}

/// Whether a subject could be stored by both.
fn shares_subjects(one: &StreamConfig, other: &StreamConfig) -> bool {
    let overlaps = |subject: &String| {
        other.subjects.iter().any(|other| overlap(subject.as_bytes(), other.as_bytes()))
    };
    one.subjects.iter().any(overlaps)
}

fn card(request: &Request, config: &StreamConfig, incarnation: u64) -> StreamCard {
    let (account, name) = (request.account, config.name.clone());
    StreamCard { account, name, config: json::compact(config), incarnation }
}

/// A card of a core of ours: its configuration was checked when the stream was made.
fn read(card: StreamCard) -> Option<(StreamCard, StreamConfig)> {
    let config = StreamConfig::parse(&card.config, Mode::Lenient).ok()?;
    Some((card, config))
}

#[derive(Serialize)]
struct Names<'a> {
    #[serde(flatten)]
    page: Page,
    streams: Option<&'a [String]>,
}

#[derive(Serialize)]
struct List {
    #[serde(flatten)]
    page: Page,
    streams: Vec<Box<RawValue>>,
}
