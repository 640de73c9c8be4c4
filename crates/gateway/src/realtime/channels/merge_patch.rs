//! JSON merge patches (RFC 7396): what has to change in one document to make another of it.

use serde_json::{Map, Value};

/// The patch that makes `to` of `from`; `None` where there is none: a merge patch can't say that a member is `null`.
///
/// An empty object when both are the same.
pub fn diff(from: &Value, to: &Value) -> Option<Value> {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => diff_objects(from, to).map(Value::Object),
        // Whatever is no object replaces the whole, and an object in its place begins with an empty one.
        (_, Value::Object(to)) => diff_objects(&Map::new(), to).map(Value::Object),
        (_, to) => Some(to.clone()),
    }
}

fn diff_objects(from: &Map<String, Value>, to: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut patch = Map::new();
    for name in from.keys().filter(|name| !to.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, wanted) in to {
        let known = from.get(name);
        if wanted.is_null() {
            if known != Some(wanted) {
                return None;
            }
        } else if known != Some(wanted) {
            patch.insert(name.clone(), diff(known.unwrap_or(&Value::Null), wanted)?);
        }
    }
    Some(patch)
}

/// Applies a patch, as a client does (RFC 7396 §2).
pub fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, change) in patch {
        if change.is_null() {
            members.remove(name);
        } else {
            apply(members.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_is_applied_as_the_rfc_shows() {
        // RFC 7396, appendix A.
        for (original, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut target = original.clone();
            apply(&mut target, &patch);
            assert_eq!(target, result, "{original} with {patch}");
        }
    }

    #[test]
    fn a_patch_says_no_more_than_what_changed() {
        let from = json!({"TEA-1": {"price": 5, "available": 7}, "TEA-2": {"price": 6}, "TEA-3": {}});
        let to = json!({"TEA-1": {"price": 5, "available": 6}, "TEA-3": {}, "TEA-4": {"price": 1}});
        let patch = diff(&from, &to).unwrap();
        assert_eq!(patch, json!({"TEA-1": {"available": 6}, "TEA-2": null, "TEA-4": {"price": 1}}));
        assert_eq!(diff(&to, &to), Some(json!({})));
    }

    #[test]
    fn there_is_no_patch_that_sets_null() {
        assert_eq!(diff(&json!({"a": 1}), &json!({"a": null})), None);
        assert_eq!(diff(&json!({}), &json!({"a": {"b": null}})), None);
        assert_eq!(diff(&json!({"a": null}), &json!({"a": null, "b": 1})), Some(json!({"b": 1})));
    }

    /// Few names and values, so that two documents have much in common.
    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3u8).prop_map(Value::from),
            "[ab]".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn applying_the_difference_gives_the_other_document(from in document(), to in document()) {
            if let Some(patch) = diff(&from, &to) {
                let mut target = from.clone();
                apply(&mut target, &patch);
                prop_assert_eq!(target, to);
            }
        }

        #[test]
        fn only_a_null_that_is_new_has_no_patch(from in document(), to in document()) {
            if diff(&from, &to).is_none() {
                prop_assert!(to.to_string().contains("null"));
            }
        }
    }
}
