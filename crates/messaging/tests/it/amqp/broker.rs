//! A RabbitMQ that a test may kill.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

/// How long a broker may take to start on a busy machine.
const START: Duration = Duration::from_secs(90);

/// A private broker, its files in a temporary folder.
pub(super) struct Broker {
    folder: TempDir,
    ports: [u16; 3],
    /// Names the node to its clients; ended with the broker.
    epmd: Child,
    server: Option<Child>,
}

impl Broker {
    /// Starts the server script that `SOUK_TEST_RABBITMQ_SERVER` names.
    pub(super) async fn start() -> Self {
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        drop(listeners);
        let epmd = quiet(&mut Command::new("epmd"))
            .args(["-address", "127.0.0.1", "-port", &ports[2].to_string()])
            .spawn()
            .expect("epmd should start; it comes with Erlang");
        let mut broker = Self { folder: TempDir::new().unwrap(), ports, epmd, server: None };
        broker.restart().await;
        broker
    }

    pub(super) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.ports[0])
    }

    /// Starts it on the files it has, and waits until it takes connections.
    pub(super) async fn restart(&mut self) {
        let script =
            std::env::var("SOUK_TEST_RABBITMQ_SERVER").expect("SOUK_TEST_RABBITMQ_SERVER should name a script");
        let folder = self.folder.path();
        let file = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).unwrap();
            folder.join(name)
        };
        let mut command = Command::new(script);
        quiet(&mut command)
            // A group of its own: the script's children end with it.
            .process_group(0)
            .env("HOME", folder)
            .env("RABBITMQ_NODENAME", "souk-test@localhost")
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.ports[0].to_string())
            .env("RABBITMQ_DIST_PORT", self.ports[1].to_string())
            .env("ERL_EPMD_PORT", self.ports[2].to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins", "[]."))
            .env("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf", "log.file.level = warning\n"))
            .env("RABBITMQ_CONF_ENV_FILE", Path::new("/dev/null"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}");
        self.server = Some(command.spawn().expect("the broker's script should start"));
        let deadline = Instant::now() + START;
        while tokio::net::TcpStream::connect(("127.0.0.1", self.ports[0])).await.is_err() {
            assert!(Instant::now() < deadline, "the broker should have started");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// `kill -9` to all of it.
    pub(super) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let group = format!("-{}", server.id());
            let _ = quiet(&mut Command::new("kill")).args(["-9", "--", &group]).status();
            let _ = server.wait();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        let _ = self.epmd.kill();
        let _ = self.epmd.wait();
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}
