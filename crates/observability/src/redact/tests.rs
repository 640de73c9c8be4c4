use std::borrow::Cow;

use proptest::prelude::*;

use super::*;

#[test]
fn what_looks_like_a_secret_is_masked_and_the_rest_stays() {
    for (told, masked) in [
        ("mail to jane.doe+shop@souk.test failed", "mail to ***@souk.test failed"),
        ("<jane@souk.test>, <joe@souk.test>", "<***@souk.test>, <***@souk.test>"),
        ("/users?mail=jane%40souk.test&page=2", "/users?mail=***%40souk.test&page=2"),
        ("müller@souk.test", "***@souk.test"),
        ("card 4242 4242 4242 4242 declined", "card *** declined"),
        ("card 4242-4242-4242-4242, 5555555555554444.", "card ***, ***."),
        ("4242 4242 4242 4242 5555 5555 5555 4444", "*** ***"),
        ("Authorization: Bearer abc.def.ghi0", "Authorization: ***"),
        ("sent Bearer mF_9.B5f-4.1JqM to it", "sent Bearer *** to it"),
        ("sent basic QWxhZGRpbjpvcGVu to it", "sent basic *** to it"),
        ("jwt eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln was late", "jwt *** was late"),
        ("GET /events?token=abc123&last=7", "GET /events?token=***&last=7"),
        ("password=hunter2 user=7", "password=*** user=7"),
        ("password = \"hunter 2\" user = 7", "password = \"***\" user = 7"),
        (r#"{"password":"hun\"ter2","n":1}"#, r#"{"password":"***","n":1}"#),
        (r#"{\"apiKey\":\"k e y\",\"n\":1}"#, r#"{\"apiKey\":\"***\",\"n\":1}"#),
        (r#"{"pan":4242,"email":null}"#, r#"{"pan":***,"email":null}"#),
        (r#"Login { password: Some("hunter2"), id: 7 }"#, r#"Login { password: Some("***"), id: 7 }"#),
        ("Cookie: sid=1; theme=dark\nHost: x", "Cookie: ***\nHost: x"),
        ("set-cookie=sid=1; Path=/", "set-cookie=***"),
        ("postgres://souk:p@ss=w&rd@db:5432/orders", "postgres://souk:***@db:5432/orders"),
        ("/x?access_token=abc|200|12 ms", "/x?access_token=***|200|12 ms"),
        ("/x?page=2&api_key=abc#top 200", "/x?page=2&api_key=***#top 200"),
        ("/x?x-api-key=abc HTTP/1.1", "/x?x-api-key=*** HTTP/1.1"),
        ("password=hun|ter#2 user=7", "password=*** user=7"),
        ("password=excluded.hunter2, token=excluded.", "password=***, token=***"),
        ("password=$2b$10$abc, token=?x, secret=$, token=$12a", "password=***, token=***, secret=***, token=***"),
        ("amqp://guest:guest@127.0.0.1", "amqp://guest:***@127.0.0.1"),
    ] {
        assert_eq!(text(told), masked);
        assert_eq!(text(masked), masked, "masked text stays");
    }
}

#[test]
fn what_is_no_secret_is_neither_changed_nor_copied() {
    for open in [
        "",
        "invalid token: expired",
        "email: must be an address",
        "the bearer of this letter, bearer authentication, basic knowledge",
        "card: declined by the bank",
        "0190f3c1-7e5a-7cc3-98c4-dc0c0c07398f",
        "12345678-1234-4123-8123-123456789012",
        "41111111-1111-4111-8111-111111111111",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "2026-11-22T17:00:00.123Z 2026-11-22 17:00:00 20261122170000",
        "1790000000123 1790000000123456 1790000000123456789",
        "USD 49.99, 129900 minor, 1,299.00 EUR, 5 @ 3.00",
        "ORD-4111111111111111 order.4111111111111111",
        "https://souk.test:8080/api/products?page=2&limit=50#top",
        "tcp connect error: Connection refused (os error 111): 127.0.0.1:5432",
        "x == y, token == other, a => b, idempotency_key=7c",
        "a @ b, @home, trailing@",
        "UPDATE accounts SET email = ?1, name = ?2 WHERE token=? AND password = $2, token=$3::text",
        "DO UPDATE SET email = excluded.email, name = excluded.name, token=EXCLUDED.token, email = NULL, x = 1",
        "SELECT id FROM sessions WHERE (token = $12) OR (cookie = ?) OR (secret=?3)",
    ] {
        assert_eq!(text(open), open);
        assert!(matches!(text(open), Cow::Borrowed(_)), "{open}");
    }
}

/// Text made of what the scanner looks for, joined as it never should be.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("password".to_owned()),
        Just("Cookie".to_owned()),
        Just("token".to_owned()),
        Just("eyJhbGciOiJFUzI1NiJ9".to_owned()),
        Just("Bearer ".to_owned()),
        Just("basic%20".to_owned()),
        Just("://".to_owned()),
        Just("***".to_owned()),
        Just("%40".to_owned()),
        Just("Some(".to_owned()),
        Just("4242424242424242".to_owned()),
        Just("4242 4242 4242 4242".to_owned()),
        "[=:@\"'\\\\ .&;,{}*%()/?|#$-]",
        "[a-z0-9]{1,8}",
        "\\PC{0,3}",
    ];
    proptest::collection::vec(part, 0..14).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_text_is_masked_once_and_for_all(told in prop_oneof![hostile(), any::<String>()]) {
        let once = text(&told).into_owned();
        let again = text(&once);
        prop_assert_eq!(&*again, &*once);
    }

    #[test]
    fn planted_secrets_are_found_wherever_words_stand_around_them(before in "([a-z]{1,9} ){0,5}", after in "( [a-z]{1,9}){0,5}") {
        for secret in [
            "jane.doe@souk.test",
            "4242424242424242",
            "3782 822463 10005",
            "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln",
        ] {
            let told = format!("{before}{secret}{after}");
            prop_assert!(!text(&told).contains(secret), "{}", told);
            let bare = secret.split('@').next().unwrap();
            prop_assert!(!text(&told).contains(bare), "{}", told);
        }
        let told = format!("{before}password=hunter2{after}");
        prop_assert_eq!(text(&told), format!("{before}password=***{after}"));
    }

    #[test]
    fn ids_are_never_changed(bits in any::<u128>(), digits in "[0-9]{8}-[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{12}", id in "[a-z]{1,8}[._-][A-Za-z0-9]{1,30}") {
        let uuid = uuid::Uuid::from_u128(bits);
        for open in [uuid.to_string(), uuid.simple().to_string(), uuid.urn().to_string(), digits, id] {
            for told in [open.clone(), format!("order {open} of {open}."), format!("order={open},id: {open}")] {
                prop_assert_eq!(&*text(&told), &*told);
            }
        }
    }

    #[test]
    fn prices_and_times_are_never_changed(
        minor in 0_u64..10_000_000_000,
        millis in 1_000_000_000_000_i64..2_000_000_000_000,
        more in proptest::collection::vec(0_u32..1_000_000, 0..6),
    ) {
        let amounts = more.iter().map(|n| format!("{}.{:02}", n / 100, n % 100)).collect::<Vec<_>>().join(" ");
        let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).unwrap();
        let rfc3339 = at.format(&time::format_description::well_known::Rfc3339).unwrap();
        let compact = format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}", at.year(), u8::from(at.month()), at.day(), at.hour(), at.minute(), at.second()
        );
        for open in [
            format!("{}.{:02} USD", minor / 100, minor % 100), format!("{minor} minor"), amounts,
            rfc3339, compact, millis.to_string(), format!("{millis}123456"),
        ] {
            prop_assert_eq!(&*text(&open), &*open);
        }
    }
}
