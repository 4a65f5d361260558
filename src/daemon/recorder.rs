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

/// The open file.
pub(super) struct Recording {
    file: BufWriter<File>,
    written: u64,
}

impl Recording {
    pub(super) fn create(path: &Path) -> Result<Self, RunError> {
        let file = File::create(path).map_err(|source| RunError::Record { path: path.to_owned(), source })?;
        Ok(Self { file: BufWriter::new(file), written: 0 })
    }
}

pub(super) struct Recorder {
    engine: Engine,
    recording: Option<Recording>,
}

impl Recorder {
    pub(super) fn new(
        config: &Gateway,
        seed: u64,
        adopted: Vec<(PathId, Family, Selection)>,
        now: Instant,
        recording: Option<Recording>,
    ) -> Self {
        let engine = Engine::new(config.clone(), seed, &adopted, now);
        let mut recorder = Self { engine, recording };
        recorder.write(&Entry::Start { config: Box::new(config.clone()), seed, adopted, now });
        recorder
    }

    pub(super) fn handle(&mut self, event: Event, now: Instant) {
        if self.recording.is_some() {
            self.write(&Entry::Event { event: event.clone(), now });
        }
        self.engine.handle(event, now);
    }

    pub(super) fn reconfigure(&mut self, config: &Gateway, seed: u64, now: Instant) {
        self.write(&Entry::Reconfigure { config: Box::new(config.clone()), seed, now });
        self.engine.reconfigure(config.clone(), seed, now);
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
        let Some(recording) = self.recording.as_mut() else { return };
        let line = serde_json::to_string(entry).unwrap_or_default();
        recording.written += u64::try_from(line.len()).unwrap_or(0) + 1;
        if writeln!(recording.file, "{line}").is_err() || recording.written > BYTES_MOST {
            tracing::warn!("recording ended after {} bytes", recording.written);
            self.recording = None;
        }
    }
}
