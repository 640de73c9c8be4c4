//! What all stores say of one order, and the walk over all orders.

use std::collections::{BTreeMap, BTreeSet};

use contracts::Timestamp;
use contracts::audit::{Page, Span};
use contracts::ids::OrderId;
use inventory::application::audit::ReservationFacts;
use notification::application::audit::NoticeFacts;
use orders::application::audit::OrderFacts;
use payment::application::audit::{ChargeFacts, PaymentFacts};
use uuid::Uuid;

use super::checks::Limits;
use super::stores::{AuditError, Stores, unreadable};

/// One order, from all sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Which.
    pub order_id: OrderId,
    /// What orders says.
    pub order: Option<OrderFacts>,
    /// What payment says.
    pub payment: Option<PaymentFacts>,
    /// What the provider's books say; the outer `None`: they can't be read.
    pub charge: Option<Option<ChargeFacts>>,
    /// What inventory says.
    pub reservation: Option<ReservationFacts>,
    /// What notification says.
    pub notices: Vec<NoticeFacts>,
    /// Whether users has an account of its customer.
    pub customer_known: bool,
}

impl Case {
    /// An order that no store knows, yet.
    pub fn unknown(order_id: OrderId, books_are_readable: bool) -> Self {
        Self {
            order_id,
            order: None,
            payment: None,
            charge: books_are_readable.then_some(None),
            reservation: None,
            notices: Vec::new(),
            customer_known: true,
        }
    }

    /// Whether no store knows it.
    pub fn is_unknown(&self) -> bool {
        let charged = self.charge.as_ref().is_some_and(Option::is_some);
        self.order.is_none()
            && self.payment.is_none()
            && !charged
            && self.reservation.is_none()
            && self.notices.is_empty()
    }

    /// Whether something of it changed a moment ago, or somebody still works on it: stores may differ for now.
    pub fn is_in_progress(&self, limits: &Limits) -> bool {
        let young = |moment: Timestamp| limits.is_young(moment);
        let order = self.order.as_ref().is_some_and(|order| {
            young(order.updated_at) || order.saga.as_ref().is_some_and(|saga| saga.state != "done")
        });
        let payment = self.payment.as_ref().is_some_and(|payment| {
            young(payment.updated_at) || payment.next_check_at.is_some() || payment.refunds_due > 0
        });
        let charge =
            self.charge.iter().flatten().any(|charge| charge.settle_at > limits.now || young(charge.settle_at));
        let reservation = self.reservation.as_ref().is_some_and(|reservation| {
            young(reservation.updated_at) || reservation.expires_at.is_some_and(|at| at > limits.now || young(at))
        });
        order || payment || charge || reservation || self.notices.iter().any(|notice| young(notice.created_at))
    }
}

/// Goes over every order that any of the stores knows, in the order of ids.
pub(super) struct Walk<'a> {
    stores: &'a Stores,
    span: Span,
    page: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(stores: &'a Stores, span: Span, page: usize) -> Self {
        Self { stores, span, page }
    }

    /// The next orders; `None` after the last.
    ///
    /// Each store gives a page. Where one has more than fits, only what all pages cover is told now: memory is bounded by five
    /// pages, whatever the stores hold.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Case>>, AuditError> {
        if self.span.after >= self.span.until {
            return Ok(None);
        }
        let orders = self.stores.orders.list_orders(self.span, self.page).await;
        let orders = orders.map_err(|error| unreadable("orders")(&error))?;
        let beside = Span { after: self.span.after, until: orders.complete_to };
        let (payments, charges, reservations, notices) = tokio::join!(
            self.stores.payment.list_payments(beside, self.page),
            async {
                match &self.stores.sandbox {
                    Some(sandbox) => sandbox.list_charges(beside, self.page).await.map(Some),
                    None => Ok(None),
                }
            },
            self.stores.inventory.list_reservations(beside, self.page),
            self.stores.notification.list_notices(beside, self.page),
        );
        let payments = payments.map_err(|error| unreadable("payment")(&error))?;
        let charges = charges.map_err(|error| unreadable("sandbox")(&error))?;
        let reservations = reservations.map_err(|error| unreadable("inventory")(&error))?;
        let notices = notices.map_err(|error| unreadable("notification")(&error))?;
        let all_pages_cover = [
            orders.complete_to,
            payments.complete_to,
            charges.as_ref().map_or(beside.until, |page| page.complete_to),
            reservations.complete_to,
            notices.complete_to,
        ];
        let covered = all_pages_cover.into_iter().min().unwrap_or(beside.until);

        let mut cases = Cases { cases: BTreeMap::new(), covered, books_are_readable: charges.is_some() };
        cases.add(orders, |order| order.order_id, |case, order| case.order = Some(order));
        cases.add(payments, |payment| payment.order_id, |case, payment| case.payment = Some(payment));
        if let Some(charges) = charges {
            cases.add(charges, |charge| charge.order_id, |case, charge| case.charge = Some(Some(charge)));
        }
        cases.add(reservations, |one| one.order_id, |case, one| case.reservation = Some(one));
        cases.add(notices, |notice| notice.order_id, |case, notice| case.notices.push(notice));
        let mut cases: Vec<Case> = cases.cases.into_values().collect();
        self.look_up_customers(&mut cases).await?;
        self.span.after = covered;
        Ok(Some(cases))
    }

    async fn look_up_customers(&self, cases: &mut [Case]) -> Result<(), AuditError> {
        let customers: BTreeSet<_> = cases.iter().filter_map(|case| Some(case.order.as_ref()?.user_id)).collect();
        if customers.is_empty() {
            return Ok(());
        }
        let known = self.stores.find_known(&customers).await?;
        for case in cases {
            case.customer_known = case.order.as_ref().is_none_or(|order| known.contains(&order.user_id));
        }
        Ok(())
    }
}

struct Cases {
    cases: BTreeMap<Uuid, Case>,
    covered: Uuid,
    books_are_readable: bool,
}

impl Cases {
    fn add<T>(&mut self, page: Page<T>, id: impl Fn(&T) -> OrderId, put: impl Fn(&mut Case, T)) {
        for item in page.items {
            let order_id = id(&item);
            if order_id.as_uuid() <= self.covered {
                let unknown = || Case::unknown(order_id, self.books_are_readable);
                put(self.cases.entry(order_id.as_uuid()).or_insert_with(unknown), item);
            }
        }
    }
}
