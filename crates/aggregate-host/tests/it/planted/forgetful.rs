//! Readers that are not told which commands there were: what a host folds at its start has no outcomes and no command
//! ids that anybody will ask for again.

use std::time::Duration;

use event_log::{Cursor, Error, Headers, Log, LogReader, Record};

use super::faulty_log::Bug;

pub(crate) struct Forgetful;

impl Bug for Forgetful {
    fn open_reader(&self, log: &dyn Log, from: &[Cursor]) -> Result<Box<dyn LogReader>, Error> {
        let outcomes = log.topics().outcomes().to_string();
        Ok(Box::new(ForgetfulReader { reader: log.open_reader(from)?, outcomes }))
    }
}

struct ForgetfulReader {
    reader: Box<dyn LogReader>,
    outcomes: String,
}

impl LogReader for ForgetfulReader {
    fn read(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Record>, Error> {
        let mut records = self.reader.read(records_max, timeout)?;
        records.retain(|record| *record.position.topic != *self.outcomes);
        for record in &mut records {
            let mut headers = Headers::new();
            for (name, value) in record.headers.iter() {
                match name {
                    "ce_commandid" => headers.push(name.to_owned(), uuid::Uuid::new_v4().to_string()),
                    _ => headers.push(name.to_owned(), value.clone()),
                }
            }
            record.headers = headers;
        }
        Ok(records)
    }

    fn next_offsets(&self) -> Vec<Cursor> {
        self.reader.next_offsets()
    }

    fn stable_ends(&self) -> Vec<Cursor> {
        self.reader.stable_ends()
    }

    fn caught_up(&self) -> bool {
        self.reader.caught_up()
    }
}
