//! The way to the dead letters.
//!
//! The embedded broker is one process's: a second one that wrote to its file would wake nobody, and not know what is in
//! work. So the Souk that has it is asked, by its internal port, and when none runs its folder is taken.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use anyhow::Context as _;
use async_trait::async_trait;
use contracts::timestamp::SystemClock;
use contracts::{Reason, Refusal};
use messaging::DeadLetters;
use messaging::dead_letters::{DeadLetter, DeadLetterError, Handled, LetterId, Pile, Which};
use observability::logs::error_chain;
use serde::{Deserialize, Serialize};
use service_kit::internal_http::{only, problem};
use sqlite::SqliteUrl;

use crate::UsageError;
use crate::data_dir::{self, DataDir};
use crate::settings::Settings;

const PATH: &str = "/admin/dead-letters";
/// Longer than any adapter takes.
const TIMEOUT: Duration = Duration::from_secs(75);

/// Dead letters within reach.
pub(super) struct Desk {
    pub(super) letters: Arc<dyn DeadLetters>,
    /// Kept for as long as the embedded broker is open here.
    _folder: Option<DataDir>,
}

/// Finds the way.
pub(super) async fn open(settings: &Settings) -> anyhow::Result<Desk> {
    let mut folder = None;
    if let Ok(file) = settings.broker_url.parse::<SqliteUrl>() {
        if let Some(running) = data_dir::find_running(&settings.data_dir) {
            let url = format!("http://{}{PATH}", running.internal);
            return Ok(Desk { letters: Arc::new(RunningSouk { url, client: reqwest::Client::new() }), _folder: None });
        }
        if !file.path().exists() {
            let (file, hint) = (file.path().display(), "start Souk first, or give --data-dir");
            return Err(UsageError(format!("there is no broker at {file}; {hint}")).into());
        }
        folder = Some(DataDir::take(&settings.data_dir)?);
    }
    let broker = messaging::open(&settings.broker_url, Arc::new(SystemClock)).await.context("SOUK_BROKER_URL")?;
    Ok(Desk { letters: broker.dead_letters, _folder: folder })
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Question {
    Piles(Vec<String>),
    List { group: String, limit: usize },
    Find { group: String, key: String },
    Replay { group: String, which: Which },
    Discard { group: String, which: Which },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Piles(Vec<Pile>),
    Letters(Vec<DeadLetter>),
    Handled(Handled),
    NoSuchGroup(String),
}

async fn answer(letters: &dyn DeadLetters, question: Question) -> Result<Answer, DeadLetterError> {
    let answered = match question {
        Question::Piles(groups) => letters.piles(&groups).await.map(Answer::Piles),
        Question::List { group, limit } => letters.list(&group, limit).await.map(Answer::Letters),
        Question::Find { group, key } => {
            letters.find(&LetterId { group, key }).await.map(|found| Answer::Letters(found.into_iter().collect()))
        }
        Question::Replay { group, which } => letters.replay(&group, &which).await.map(Answer::Handled),
        Question::Discard { group, which } => letters.discard(&group, &which).await.map(Answer::Handled),
    };
    match answered {
        Err(DeadLetterError::NoSuchGroup(group)) => Ok(Answer::NoSuchGroup(group)),
        other => other,
    }
}

/// `POST /admin/dead-letters` on the internal port.
pub(crate) fn internal_routes(
    letters: Arc<dyn DeadLetters>,
) -> impl FnOnce(&mut web::ServiceConfig) + Clone + Send + 'static {
    async fn ask(letters: web::Data<dyn DeadLetters>, question: web::Json<Question>) -> HttpResponse {
        match answer(letters.get_ref(), question.into_inner()).await {
            Ok(answer) => HttpResponse::Ok().json(answer),
            Err(error) => problem(&Refusal::new(Reason::Unavailable, error_chain(&error))),
        }
    }
    move |config| {
        config.app_data(web::Data::from(letters)).service(only(web::resource(PATH).route(web::post().to(ask)), "POST"));
    }
}

/// The dead letters of a Souk that runs.
struct RunningSouk {
    url: String,
    client: reqwest::Client,
}

impl RunningSouk {
    async fn ask(&self, question: Question) -> Result<Answer, DeadLetterError> {
        let unavailable = |error: reqwest::Error| DeadLetterError::Unavailable(Box::new(error));
        let asked = self.client.post(&self.url).timeout(TIMEOUT).json(&question).send().await.map_err(unavailable)?;
        if !asked.status().is_success() {
            let (status, text) = (asked.status(), asked.text().await.unwrap_or_default());
            return Err(DeadLetterError::Unavailable(format!("{} answered {status}: {text}", self.url).into()));
        }
        match asked.json().await.map_err(unavailable)? {
            Answer::NoSuchGroup(group) => Err(DeadLetterError::NoSuchGroup(group)),
            answer => Ok(answer),
        }
    }

    fn unexpected<T>(&self) -> Result<T, DeadLetterError> {
        let said = format!("{} answered another question; is it a Souk of another version?", self.url);
        Err(DeadLetterError::Unavailable(said.into()))
    }

    async fn ask_to_handle(&self, question: Question) -> Result<Handled, DeadLetterError> {
        match self.ask(question).await? {
            Answer::Handled(handled) => Ok(handled),
            _ => self.unexpected(),
        }
    }

    async fn ask_for_letters(&self, question: Question) -> Result<Vec<DeadLetter>, DeadLetterError> {
        match self.ask(question).await? {
            Answer::Letters(letters) => Ok(letters),
            _ => self.unexpected(),
        }
    }
}

#[async_trait]
impl DeadLetters for RunningSouk {
    async fn piles(&self, groups: &[String]) -> Result<Vec<Pile>, DeadLetterError> {
        match self.ask(Question::Piles(groups.to_vec())).await? {
            Answer::Piles(piles) => Ok(piles),
            _ => self.unexpected(),
        }
    }

    async fn list(&self, group: &str, limit: usize) -> Result<Vec<DeadLetter>, DeadLetterError> {
        self.ask_for_letters(Question::List { group: group.to_owned(), limit }).await
    }

    async fn find(&self, id: &LetterId) -> Result<Option<DeadLetter>, DeadLetterError> {
        let LetterId { group, key } = id.clone();
        Ok(self.ask_for_letters(Question::Find { group, key }).await?.pop())
    }

    async fn replay(&self, group: &str, which: &Which) -> Result<Handled, DeadLetterError> {
        self.ask_to_handle(Question::Replay { group: group.to_owned(), which: which.clone() }).await
    }

    async fn discard(&self, group: &str, which: &Which) -> Result<Handled, DeadLetterError> {
        self.ask_to_handle(Question::Discard { group: group.to_owned(), which: which.clone() }).await
    }
}
