//! What telling of a call to a store costs where nobody records it: `cargo bench -p observability --bench cost`

use std::time::Instant;

use observability::RequestContext;
use observability::db::{Client, Fault, StoreFault, System};

#[derive(Debug)]
struct Never;

impl StoreFault for Never {
    fn fault(&self) -> Option<Fault<'_>> {
        None
    }
}

fn main() {
    const CALLS: u32 = 1_000_000;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    let client = Client::new(System::Sqlite, "cost");
    let measured = async {
        let began = Instant::now();
        for _ in 0..CALLS {
            client.call("nothing", async { Ok::<_, Never>(()) }).await.expect("nothing can fail");
        }
        began.elapsed() / CALLS
    };
    let each = runtime.block_on(RequestContext::background().in_service("cost").scope(measured));
    println!("{each:?} for each call that no trace records");
}
