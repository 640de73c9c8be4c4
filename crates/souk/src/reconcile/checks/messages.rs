//! What customers and services are told: everything, and once.

use std::time::Duration;

use contracts::audit::Backlog;
use messaging::queue_audit::QueueFacts;
use notification::application::audit::InboxFacts;

use super::{Limits, finding};
use crate::reconcile::case::Case;
use crate::reconcile::{Finding, Severity, Subject};

/// An event that waits for longer was not just late.
const PUBLISHED_WITHIN: Duration = Duration::from_mins(1);

fn was_confirmed(case: &Case) -> bool {
    let events = case.order.iter().flat_map(|order| &order.events);
    events.into_iter().any(|event| event.event_type == "order.confirmed")
}

/// An order that was ever confirmed has told so to its customer, once, in the inbox; or not there, at the customer's wish.
pub(super) fn confirmation_is_told_once(case: &Case) -> Option<Finding> {
    let order = case.order.as_ref().filter(|_| was_confirmed(case))?;
    let told: Vec<_> = case.notices.iter().filter(|notice| notice.kind == "order_confirmed").collect();
    let what = match told.as_slice() {
        [] => "the order was confirmed, and there is no notification of it".to_owned(),
        [notice] if notice.user_id != order.user_id => {
            format!("the confirmation went to user {}, the order is of {}", notice.user_id, order.user_id)
        }
        [notice] if !notice.is_in_inbox && !notice.is_muted => {
            format!("the confirmation is not in the inbox of user {}", order.user_id)
        }
        [_] => return None,
        more => format!("the confirmation was told {} times", more.len()),
    };
    let next = "see that orders' outbox is empty (souk outbox status) and look for the order's events among the dead letters \
                (souk dlq list); replay them (souk dlq replay): nothing is told twice";
    Some(finding("confirmation-not-told", Severity::Major, case, what, next))
}

/// What was told to be confirmed was confirmed.
pub(super) fn told_is_confirmed(case: &Case) -> Option<Finding> {
    let told = case.notices.iter().any(|notice| notice.kind == "order_confirmed");
    if !told || was_confirmed(case) {
        return None;
    }
    let what =
        format!("the customer was told that the order is confirmed, and it never was ({})", super::standing(case));
    let next = "tell the customer; was orders' database restored from an older copy?";
    Some(finding("told-not-confirmed", Severity::Critical, case, what, next))
}

/// An inbox counts from one without gaps, and carries every notification once.
pub fn of_inbox(inbox: &InboxFacts) -> Vec<Finding> {
    let InboxFacts { user_id, entries, first_seq, last_seq, notification_entries, notifications } = inbox;
    let found = |code, what| Finding {
        code,
        severity: Severity::Major,
        subject: Subject::inbox(*user_id),
        what,
        since: None,
        next: "clients that resume in the gap load their lists anew; keep the store as it is and report it: was notification's \
               database restored in part?",
    };
    let mut findings = Vec::new();
    if last_seq != entries || (*entries > 0 && *first_seq != 1) {
        findings.push(found("inbox-gaps", format!("{entries} entries, numbered {first_seq} to {last_seq}")));
    }
    if notification_entries != notifications {
        let what = format!("{notifications} notifications, of which the inbox carries {notification_entries}");
        findings.push(found("inbox-differs", what));
    }
    findings
}

/// Events are published within a minute.
pub fn of_outbox(service: &'static str, backlog: &Backlog, limits: &Limits) -> Option<Finding> {
    let late = backlog.oldest_at.filter(|oldest| oldest.plus(PUBLISHED_WITHIN) < limits.now);
    if backlog.waiting == 0 || (backlog.oldest_at.is_some() && late.is_none()) {
        return None;
    }
    Some(Finding {
        code: "outbox-waits",
        severity: Severity::Major,
        subject: Subject::Outbox(service),
        what: format!("{} events wait to be published", backlog.waiting),
        since: late,
        next: "see that the service runs and reaches the broker (/health/ready, souk outbox status): its relay goes on by itself",
    })
}

/// No message is given up.
pub fn of_queue(queue: &QueueFacts) -> Option<Finding> {
    if !queue.is_dead || queue.messages == 0 {
        return None;
    }
    let why = queue.last_error.as_deref().unwrap_or("no reason is kept");
    Some(Finding {
        code: "dead-letters",
        severity: Severity::Major,
        subject: Subject::Queue(queue.queue.clone()),
        what: format!("{} messages that no consumer could use; the oldest: {why}", queue.messages),
        since: None,
        next: "look at them (souk dlq show), mend the cause, and replay them (souk dlq replay): a message used before has no \
               second effect",
    })
}
