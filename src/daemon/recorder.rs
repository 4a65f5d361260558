//! The engine with a pen: whatever goes in can be written down, one JSON line each, for `causeway replay`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::RunError;
use crate::config::model::{Family, Gateway, PathId};
use crate::engine::Engine;
use crate::engine::event::Event;
use crate::engine::record::Entry;
use crate::policy::Selection;
use crate::time::Instant;

/// A day of two lines; then recording ends rather than filling the disk.
const BYTES_MOST: u64 = 512 << 20;

pub(super) struct Recorder {
    engine: Engine,
    file: Option<BufWriter<File>>,
    written: u64,
}

impl Recorder {
    pub(super) fn new(
        config: &Gateway,
        seed: u64,
        adopted: Vec<(PathId, Family, Selection)>,
        now: Instant,
        record: Option<&Path>,
    ) -> Result<Self, RunError> {
        let engine = Engine::new(config.clone(), seed, &adopted, now);
        let failed = |source| RunError::Record { path: record.unwrap_or(Path::new("")).to_owned(), source };
        let file = record.map(File::create).transpose().map_err(failed)?.map(BufWriter::new);
        let mut recorder = Self { engine, file, written: 0 };
        recorder.write(&Entry::Start { config: Box::new(config.clone()), seed, adopted, now });
        Ok(recorder)
    }

    pub(super) fn handle(&mut self, event: Event, now: Instant) {
        if self.file.is_some() {
            self.write(&Entry::Event { event: event.clone(), now });
        }
        self.engine.handle(event, now);
    }

    pub(super) fn poll(&mut self, now: Instant) {
        self.write(&Entry::Poll { now });
        self.engine.poll(now);
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    fn write(&mut self, entry: &Entry) {
        let Some(file) = self.file.as_mut() else { return };
        let line = serde_json::to_string(entry).unwrap_or_default();
        self.written += u64::try_from(line.len()).unwrap_or(0) + 1;
        if writeln!(file, "{line}").is_err() || self.written > BYTES_MOST {
            tracing::warn!("recording ended after {} bytes", self.written);
            self.file = None;
        }
    }
}
