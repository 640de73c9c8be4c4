//! What telling of a call costs where nobody records it.

use std::time::Instant;

use observability::RequestContext;
use observability::context::speaking_for;
use observability::db::{Client, System};

use crate::calls::NoFault;

#[tokio::test]
#[ignore = "a measurement, of an optimised build"]
async fn a_call_that_is_not_recorded_costs_next_to_nothing() {
    const CALLS: u32 = 1_000_000;
    let client = Client::new(System::Sqlite, "cost");
    let measured = async {
        let began = Instant::now();
        for _ in 0..CALLS {
            client.call("nothing", async { Ok::<_, NoFault>(()) }).await.unwrap();
        }
        began.elapsed() / CALLS
    };
    let each = speaking_for("cost", RequestContext::background().in_service("cost").scope(measured)).await;
    println!("{each:?} for each call");
    assert!(each.as_micros() < 5, "{each:?}");
}
