//! Schemas by name.

use std::collections::BTreeMap;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Ref, RefOr, Schema},
};

/// The schemas that were named so far.
#[derive(Default)]
pub(super) struct Shapes(BTreeMap<String, RefOr<Schema>>);

/// A way to a schema.
pub(super) type Shape = fn(&mut Shapes) -> RefOr<Schema>;

/// The schema of a type, by reference.
pub(super) fn of<T: ToSchema>(shapes: &mut Shapes) -> RefOr<Schema> {
    let mut within = Vec::new();
    T::schemas(&mut within);
    for (name, schema) in within {
        shapes.0.entry(name).or_insert(schema);
    }
    shapes.put(&T::name(), T::schema())
}

// === impl Shapes ===

impl Shapes {
    /// Names a schema, and refers to it.
    pub(super) fn put(&mut self, name: &str, schema: RefOr<Schema>) -> RefOr<Schema> {
        self.0.entry(name.to_owned()).or_insert(schema);
        Ref::from_schema_name(name).into()
    }

    /// The fields of a type, to be put among others.
    pub(super) fn fields_of<T: PartialSchema>(&self) -> Vec<(String, RefOr<Schema>)> {
        match T::schema() {
            RefOr::T(Schema::Object(object)) => object.properties.into_iter().collect(),
            RefOr::T(_) | RefOr::Ref(_) => Vec::new(),
        }
    }

    /// Everything that was named.
    pub(super) fn into_named(self) -> Vec<(String, RefOr<Schema>)> {
        self.0.into_iter().collect()
    }
}
