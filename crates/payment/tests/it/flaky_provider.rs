//! The sandbox behind a line that can be cut.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use contracts::ids::OrderId;
use payment::adapters::providers::sandbox::SandboxProvider;
use payment::application::ports::{
    ChargeInstruction, ChargeOutcome, FoundCharge, PaymentProvider, ProviderError, UnknownMethod,
};
use payment::domain::{PaymentMethod, RefundInstruction};
use tokio::sync::Notify;

/// What happens to a request that moves money.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It does not arrive.
    RequestLost,
    /// It is carried out, and nobody hears of it.
    AnswerLost,
    /// It is carried out, and the answer never ends coming.
    Hangs,
}

pub(crate) struct FlakyProvider {
    sandbox: SandboxProvider,
    faults: Mutex<VecDeque<Fault>>,
    away: AtomicBool,
    /// Raised when a request hangs.
    pub(crate) hanging: Notify,
}

impl FlakyProvider {
    pub(crate) fn new(sandbox: SandboxProvider) -> Self {
        Self { sandbox, faults: Mutex::default(), away: AtomicBool::new(false), hanging: Notify::new() }
    }

    /// What happens to the next requests that move money.
    pub(crate) fn next(&self, faults: &[Fault]) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// Nothing arrives while it is away.
    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn reach(&self) -> Result<(), ProviderError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(ProviderError::Unavailable("the line is cut".into()));
        }
        Ok(())
    }

    async fn move_money<T>(
        &self,
        request: impl Future<Output = Result<T, ProviderError>> + Send,
    ) -> Result<T, ProviderError> {
        self.reach()?;
        let fault = self.faults.lock().unwrap().pop_front();
        match fault {
            None => request.await,
            Some(Fault::RequestLost) => Err(ProviderError::Timeout),
            Some(Fault::AnswerLost) => request.await.and(Err(ProviderError::Timeout)),
            Some(Fault::Hangs) => {
                let _ = request.await;
                self.hanging.notify_one();
                std::future::pending().await
            }
        }
    }
}

#[async_trait]
impl PaymentProvider for FlakyProvider {
    fn name(&self) -> &'static str {
        "flaky"
    }

    fn check_method(&self, method: &PaymentMethod) -> Result<(), UnknownMethod> {
        self.sandbox.check_method(method)
    }

    async fn charge(&self, instruction: ChargeInstruction) -> Result<ChargeOutcome, ProviderError> {
        self.move_money(self.sandbox.charge(instruction)).await
    }

    async fn find_charge(&self, idempotency_key: OrderId) -> Result<Option<FoundCharge>, ProviderError> {
        self.reach()?;
        self.sandbox.find_charge(idempotency_key).await
    }

    async fn refund(&self, instruction: RefundInstruction) -> Result<(), ProviderError> {
        self.move_money(self.sandbox.refund(instruction)).await
    }

    async fn ping(&self) -> Result<(), ProviderError> {
        self.reach()
    }
}
