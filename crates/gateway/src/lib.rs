//! HTTP edge: REST, OpenAPI, authentication, live events.
