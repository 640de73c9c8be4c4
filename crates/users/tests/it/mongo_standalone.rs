//! A server that speaks MongoDB's protocol and has no transactions: one that was started without a replica set.

use mongodb::bson::{Document, doc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use users::adapters::persistence::mongo::MongoStore;
use users::application::ports::{RepositoryError, UserRepository as _};

use crate::contract::a_user;

/// Operation codes of the wire protocol: <https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>.
const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;

/// Says hello as a standalone server does, and yes to everything else. Returns its port.
async fn standalone() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let length = stream.read_i32_le().await?;
        let mut message = vec![0; usize::try_from(length).unwrap() - 4];
        stream.read_exact(&mut message).await?;
        let number = |at: usize| i32::from_le_bytes(message[at..at + 4].try_into().unwrap());
        let (request, code) = (number(0), number(8));
        let answer = hello().to_vec().unwrap();
        let (reply_code, head) = match code {
            // Flags, and one document in the body.
            OP_MSG => (OP_MSG, vec![0; 5]),
            // Flags, cursor, start, and how many documents.
            OP_QUERY => (OP_REPLY, [vec![0; 16], 1_i32.to_le_bytes().to_vec()].concat()),
            other => panic!("operation {other}"),
        };
        let size = i32::try_from(16 + head.len() + answer.len()).unwrap();
        for number in [size, 1, request, reply_code] {
            stream.write_i32_le(number).await?;
        }
        stream.write_all(&[head, answer].concat()).await?;
    }
}

fn hello() -> Document {
    doc! {
        "ok": 1, "isWritablePrimary": true, "ismaster": true, "helloOk": true, "minWireVersion": 0, "maxWireVersion": 21,
        "maxBsonObjectSize": 16 * 1024 * 1024, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
        "logicalSessionTimeoutMinutes": 30, "readOnly": false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_transactions_is_never_ready_and_told_why() {
    let url = format!("mongodb://127.0.0.1:{}/users?directConnection=true", standalone().await);
    let store = MongoStore::open(&url).await.unwrap();
    let why = store.ping().await.unwrap_err().to_string();
    assert!(why.contains("no transactions") && why.contains("--replSet"), "{why}");
    let refused = store.find(a_user("ada").id()).await;
    assert!(matches!(refused, Err(RepositoryError::Unavailable(_))), "{refused:?}");
}
