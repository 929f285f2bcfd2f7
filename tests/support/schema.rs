//! `docs/capture.schema.json`.

use jsonschema::Validator;
use serde_json::Value;
use std::sync::OnceLock;

/// The schema itself.
pub fn schema() -> Value {
    serde_json::from_slice(&std::fs::read(super::project("docs/capture.schema.json")).unwrap()).unwrap()
}

/// What the schema finds wrong with a line.
pub fn complaint(line: &str) -> Option<String> {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    let validator = VALIDATOR.get_or_init(|| jsonschema::draft202012::new(&schema()).unwrap());
    let value: Value = match serde_json::from_str(line) {
        Ok(value) => value,
        Err(error) => return Some(format!("{error} in {line}")),
    };
    if validator.is_valid(&value) {
        return None;
    }
    let complaints: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    Some(format!("{} in {line}", complaints.join("; ")))
}
