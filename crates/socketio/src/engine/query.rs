//! Query strings.

/// The pairs of a query string, decoded. What can't be decoded is left out.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    actix_web::web::Query::<Vec<(String, String)>>::from_query(query)
        .map(actix_web::web::Query::into_inner)
        .unwrap_or_default()
        .into_iter()
}
