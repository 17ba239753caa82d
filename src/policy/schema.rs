//! The JSON Schema of a policy, for editors.

use schemars::generate::SchemaSettings;

use super::model::RoutingPolicy;

/// The schema, as draft-07: what YAML language servers read.
pub fn schema() -> serde_json::Value {
    let mut schema: serde_json::Value = SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<RoutingPolicy>()
        .into();
    schema["title"] = "label-router policy".into();
    schema
}
