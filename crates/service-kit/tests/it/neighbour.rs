//! A neighbour that can be killed and come back, and counts what it is asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::grpc::notification::notification_service_server::{NotificationService, NotificationServiceServer};
use contracts::grpc::notification::{
    AckInboxRequest, AckInboxResponse, GetPreferencesRequest, GetUnreadCountRequest, GetUnreadCountResponse,
    ListInboxRequest, ListInboxResponse, ListNotificationsRequest, ListNotificationsResponse, MarkAllReadRequest,
    MarkAllReadResponse, MarkReadRequest, Notification, Preferences,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// What all instances of a service saw.
#[derive(Default)]
pub(crate) struct Seen {
    by_call: Mutex<HashMap<String, usize>>,
}

impl Seen {
    fn note<T>(&self, request: &Request<T>) {
        let id = request.metadata().get("call").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        *self.by_call.lock().unwrap().entry(id).or_default() += 1;
    }

    /// How often the call came that was seen most.
    pub(crate) fn most(&self) -> usize {
        self.by_call.lock().unwrap().values().copied().max().unwrap_or(0)
    }
}

/// What an instance answers.
pub(crate) type Answer = fn() -> Result<(), Status>;

/// `GetUnreadCount` may be repeated, `MarkAllRead` may not; nothing else is served.
struct Instance {
    seen: Arc<Seen>,
    calls: Arc<AtomicUsize>,
    answer: Answer,
}

impl Instance {
    async fn work<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.seen.note(request);
        self.calls.fetch_add(1, Ordering::SeqCst);
        // Long enough that a kill meets calls in work.
        tokio::time::sleep(Duration::from_millis(2)).await;
        (self.answer)()
    }
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not in this test"))
}

#[tonic::async_trait]
impl NotificationService for Instance {
    async fn get_unread_count(
        &self,
        request: Request<GetUnreadCountRequest>,
    ) -> Result<Response<GetUnreadCountResponse>, Status> {
        self.work(&request).await.map(|()| Response::new(GetUnreadCountResponse::default()))
    }
    async fn mark_all_read(
        &self,
        request: Request<MarkAllReadRequest>,
    ) -> Result<Response<MarkAllReadResponse>, Status> {
        self.work(&request).await.map(|()| Response::new(MarkAllReadResponse::default()))
    }
    async fn list_inbox(&self, _: Request<ListInboxRequest>) -> Result<Response<ListInboxResponse>, Status> {
        not_here()
    }
    async fn ack_inbox(&self, _: Request<AckInboxRequest>) -> Result<Response<AckInboxResponse>, Status> {
        not_here()
    }
    async fn list_notifications(
        &self,
        _: Request<ListNotificationsRequest>,
    ) -> Result<Response<ListNotificationsResponse>, Status> {
        not_here()
    }
    async fn mark_read(&self, _: Request<MarkReadRequest>) -> Result<Response<Notification>, Status> {
        not_here()
    }
    async fn get_preferences(&self, _: Request<GetPreferencesRequest>) -> Result<Response<Preferences>, Status> {
        not_here()
    }
    async fn update_preferences(&self, _: Request<Preferences>) -> Result<Response<Preferences>, Status> {
        not_here()
    }
}

/// A running instance, in a runtime of its own so that it can be killed: its sockets close, and nothing is finished.
pub(crate) struct Neighbour {
    pub(crate) address: SocketAddr,
    pub(crate) calls: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl Neighbour {
    pub(crate) fn start(address: Option<SocketAddr>, seen: &Arc<Seen>, answer: Answer) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let instance = Instance { seen: Arc::clone(seen), calls: Arc::clone(&calls), answer };
        let wanted = address.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap());
        let (told, address) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let socket = TcpListener::bind(wanted).await.unwrap();
            told.send(socket.local_addr().unwrap()).unwrap();
            let server = tonic::transport::Server::builder().add_service(NotificationServiceServer::new(instance));
            server.serve_with_incoming(TcpIncoming::from(socket)).await.unwrap();
        });
        Self { address: address.recv().unwrap(), calls, runtime: Some(runtime) }
    }

    pub(crate) fn count(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Returns once nobody listens any more.
    pub(crate) fn kill(mut self) -> SocketAddr {
        self.runtime.take().unwrap().shutdown_background();
        while std::net::TcpStream::connect(self.address).is_ok() {
            std::thread::yield_now();
        }
        self.address
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
