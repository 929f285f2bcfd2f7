//! `docs/schemas`: every output for programs is held to its schema, and has no field that is not in it.

use jsonschema::Validator;
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

/// The folder of the documentation.
pub fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// The schema of a verb's output.
pub fn schema(verb: &str) -> Value {
    let name =
        if verb == "capture" { "capture.schema.json".into() } else { format!("schemas/{verb}.schema.json") };
    serde_json::from_slice(&std::fs::read(docs().join(name)).unwrap()).unwrap()
}

/// Fails if a line of JSON is not as the schema of its verb says. Text is not looked at.
pub fn check(line: &str) {
    if !line.starts_with('{') {
        return;
    }
    let value: Value = serde_json::from_str(line).unwrap();
    let verb = value["schema"].as_str().and_then(|schema| schema.strip_prefix("tt-memtrace."));
    let verb = verb.or_else(|| value.get("kind").map(|_| "capture"));
    let complaints = complaints(verb.unwrap_or_else(|| panic!("no schema in {line}")), &value);
    assert!(complaints.is_empty(), "{complaints:?} in {line}");
}

/// What a schema finds wrong with a value.
pub fn complaints(verb: &str, value: &Value) -> Vec<String> {
    static VALIDATORS: OnceLock<Mutex<HashMap<String, Validator>>> = OnceLock::new();
    let mut validators = VALIDATORS.get_or_init(Mutex::default).lock().unwrap();
    let validator = validators.entry(verb.to_owned()).or_insert_with(|| {
        let mut schema = schema(verb);
        if verb != "capture" {
            close(&mut schema);
        }
        jsonschema::draft202012::new(&schema).unwrap()
    });
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// A later minor version may add fields, so the schemas allow them; this version has none but those listed.
fn close(schema: &mut Value) {
    if let Value::Object(object) = schema {
        if object.contains_key("properties") && object.get("type").is_some_and(|kind| kind == "object") {
            object.entry("additionalProperties").or_insert(Value::Bool(false));
        }
        object.values_mut().for_each(close);
    } else if let Value::Array(list) = schema {
        list.iter_mut().for_each(close);
    }
}
