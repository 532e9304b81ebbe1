//! Pushes to a registry that fails on purpose: each ends well, or in one clear error, and no tag
//! ever stands on a broken image.

use std::collections::BTreeSet;
use std::time::Duration;

use registry::{Client, Credential, Credentials, Error, Options, PushOptions};

use crate::double::{Double, Fault};
use crate::support::{Made, ONE_JOB, ends_small, ends_well, options, push, push_two};

#[track_caller]
fn fails(double: &Double, expected: &[&str]) {
    let error = push_two(double, ONE_JOB()).unwrap_err().to_string();
    for expected in expected.iter().chain(&[double.address.as_str(), "app"]) {
        assert!(error.contains(expected), "{expected:?} is not in: {error}");
    }
    assert!(!double.stands("v1"), "a tag stands after: {error}");
}

#[test]
fn errors_that_pass_are_waited_out() {
    for fault in [
        Fault::Answer(500, &[]),
        Fault::Answer(503, &[("Retry-After", "0")]),
        Fault::Answer(429, &[("Retry-After", "3600")]),
        Fault::Early(502),
        Fault::BreakBeforeAnswer,
        Fault::Slow(Duration::from_millis(30)),
    ] {
        for method in ["GET", "HEAD", "POST", "PATCH", "PUT"] {
            let double = Double::start();
            double.fail(method, "/v2/app/", 2, fault.clone());
            ends_small(&double, ONE_JOB());
            let double = Double::start();
            double.fail(method, "/v2/app/", 2, fault.clone());
            ends_small(&double, PushOptions::default());
        }
    }
}

/// Each new upload would be refused as well.
#[test]
fn an_upload_that_was_limited_goes_on_and_is_not_begun_again() {
    for forgets in [false, true] {
        let double = Double::start();
        double.state().limits_uploads = true;
        // Whether it tells how far an upload is, or not.
        double.state().forgets = forgets;
        ends_well(&double, ONE_JOB());
        assert_eq!(double.count("POST /v2/app/blobs/uploads/"), 3);
        let double = Double::start();
        double.state().limits_uploads = true;
        double.state().no_patch = true;
        ends_small(&double, ONE_JOB());
    }
}

#[test]
fn errors_that_stay_are_told() {
    let double = Double::start();
    double.fail("PUT", "/blobs/", usize::MAX, Fault::Answer(500, &[]));
    fails(
        &double,
        &[
            "upload of blob 1",
            "500",
            "TOLD",
            "after 4 attempts",
            "not sent twice",
        ],
    );

    let double = Double::start();
    double.fail(
        "POST",
        "/blobs/",
        usize::MAX,
        Fault::Answer(429, &[("Retry-After", "1")]),
    );
    fails(&double, &["429", "limits how often", "--jobs"]);

    let double = Double::start();
    double.fail("POST", "/blobs/", usize::MAX, Fault::Answer(403, &[]));
    fails(&double, &["403", "log in"]);
    assert_eq!(double.count("POST"), 1, "what is denied is not asked again");

    let double = Double::start();
    double.fail("PUT", "/manifests/", usize::MAX, Fault::Answer(400, &[]));
    fails(&double, &["push of manifest v1", "400"]);

    let double = Double::start();
    double.fail("HEAD", "/blobs/", usize::MAX, Fault::BreakBeforeAnswer);
    fails(
        &double,
        &["look for blob sha256:", "broke", "after 4 attempts"],
    );
}

#[test]
fn a_registry_that_is_silent_is_given_up() {
    let double = Double::start();
    double.fail(
        "POST",
        "/blobs/",
        usize::MAX,
        Fault::Slow(Duration::from_millis(400)),
    );
    let options = Options {
        timeout: Duration::from_millis(60),
        ..options()
    };
    let error = push(
        &double,
        &Client::new(options).unwrap(),
        ONE_JOB(),
        &[&Made::known(1, 10)],
    )
    .unwrap_err();
    assert!(error.to_string().contains("silent"), "{error}");
    assert!(!double.stands("v1"));
}

#[test]
fn a_broken_upload_goes_on_from_where_the_registry_is() {
    let double = Double::start();
    double.fail("PUT", "/blobs/uploads/1", 1, Fault::BreakInBody(1_234_567));
    double.fail("PATCH", "/blobs/uploads/", 1, Fault::BreakInBody(321_000));
    double.fail("PATCH", "/blobs/uploads/2", 3, Fault::BreakInBody(400_000));
    ends_well(&double, ONE_JOB());
    assert_eq!(
        double.state().received,
        5_000_001 + 37,
        "no byte was sent twice"
    );
    assert!(double.count("GET /v2/app/blobs/uploads/") >= 3);
}

#[test]
fn more_breaks_than_attempts_do_no_harm_while_it_gets_on() {
    let double = Double::start();
    double.fail("PUT", "/blobs/uploads/1", 1, Fault::BreakInBody(100_000));
    double.fail("PATCH", "/blobs/uploads/1", 12, Fault::BreakInBody(200_000));
    ends_well(&double, ONE_JOB());
    assert_eq!(double.state().received, 5_000_001 + 37);
}

#[test]
fn an_upload_that_the_registry_forgot_is_begun_again() {
    for method in ["PUT", "PATCH"] {
        let double = Double::start();
        double.state().forgets = true;
        double.fail(method, "/blobs/uploads/", 2, Fault::BreakInBody(1_000_000));
        ends_well(&double, ONE_JOB());
        assert!(double.state().received > 5_000_038);
    }
}

#[test]
fn a_blob_that_arrived_though_its_answer_was_lost_is_not_sent_again() {
    let double = Double::start();
    double.fail("PUT", "/blobs/uploads/1", 1, Fault::BreakBeforeAnswer);
    double.fail("PUT", "/blobs/uploads/2", 1, Fault::BreakBeforeAnswer);
    ends_well(&double, ONE_JOB());
    assert_eq!(double.state().received, 5_000_001 + 37);
}

#[test]
fn a_registry_that_says_it_has_less_gets_the_rest() {
    let double = Double::start();
    double.fail("PATCH", "/blobs/uploads/", 1, Fault::WrongRange(1000));
    ends_well(&double, ONE_JOB());
}

#[test]
fn a_registry_without_patch_gets_whole_blobs() {
    let double = Double::start();
    double.state().no_patch = true;
    ends_well(&double, ONE_JOB());
    assert_eq!(double.count("PATCH"), 1, "it is tried once");
    let double = Double::start();
    double.state().no_patch = true;
    double.fail("PUT", "/blobs/", 1, Fault::BreakInBody(500_000));
    ends_well(&double, ONE_JOB());
    let double = Double::start();
    double.fail("PATCH", "/blobs/", usize::MAX, Fault::BreakInBody(0));
    ends_well(&double, ONE_JOB());
}

#[test]
fn a_limit_for_requests_is_kept() {
    let double = Double::start();
    double.state().limit = Some(1 << 20);
    ends_well(&double, ONE_JOB());
    // Of 1 MiB or less, once the first blob as a whole was refused.
    assert_eq!(double.count("PATCH"), 3 + 2);
    let double = Double::start();
    double.state().limit = Some(100_000);
    fails(&double, &["413", "raise its limit"]);
}

#[test]
fn another_digest_in_the_answer_is_an_error() {
    let double = Double::start();
    double.fail("PUT", "/blobs/", 1, Fault::WrongDigest);
    fails(
        &double,
        &[
            "upload of blob 1",
            "its digest should be sha256:",
            "stored something else",
        ],
    );
    let double = Double::start();
    double.fail("POST", "/blobs/", 1, Fault::WrongDigest);
    ends_well(&double, ONE_JOB());
    let double = Double::start();
    double.fail("PUT", "/manifests/", 1, Fault::WrongDigest);
    let error = push_two(&double, ONE_JOB()).unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
}

#[test]
fn tokens_that_expire_are_fetched_anew() {
    for uses in 2..9 {
        let double = Double::start();
        double.state().token_uses = Some(uses);
        ends_well(&double, ONE_JOB());
        let scopes: BTreeSet<_> = double.state().scopes.iter().cloned().collect();
        assert_eq!(
            scopes,
            BTreeSet::from(["repository:app:pull,push".to_owned()])
        );
    }
    let double = Double::start();
    double.state().token_uses = Some(1000);
    ends_well(&double, PushOptions::default());
    assert_eq!(
        double.count("GET /token"),
        1,
        "one token serves all threads"
    );
}

#[test]
fn who_is_not_let_in_is_told_where_credentials_were_looked_for() {
    let double = Double::start();
    double.state().token_uses = Some(0);
    fails(&double, &["not authorized", "UNAUTHORIZED"]);
    assert!(double.count("/v2/") <= 3, "{:?}", double.state().log);

    let nowhere = Options {
        credentials: Credentials::from_files(vec!["/nowhere/config.json".into()]),
        ..options()
    };
    let error = push(&double, &Client::new(nowhere).unwrap(), ONE_JOB(), &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/nowhere/config.json") && error.contains("docker login"),
        "{error}"
    );

    double.fail("GET", "/token", usize::MAX, Fault::Answer(401, &[]));
    let credential = Credential::Password {
        user: "me".to_owned(),
        password: "secret".to_owned(),
    };
    let given = Options {
        credentials: Credentials::given(credential),
        ..options()
    };
    let error = push(&double, &Client::new(given).unwrap(), ONE_JOB(), &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("\"me\"") && error.contains("token from") && !error.contains("secret"),
        "{error}"
    );
}
