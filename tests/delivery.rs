//! What becomes of notices between a decision and a sink: sinks are real HTTP servers that are slow, refuse, break or bar.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failure should stop a test"
)]

#[path = "support/sink.rs"]
mod sink;

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use label_router::delivery::{Delivery, DeliveryMetrics, DeliverySettings, Outlet};
use label_router::notice::{Kind, Notice, Severity, Told, samples};
use label_router::policy::{self, PolicyText};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use sink::{Reply, SinkDouble, nobody};

/// Sinks at work, and what they count.
struct Sinks {
    delivery: Delivery,
    registry: Registry,
    outlets: Vec<Outlet>,
}

impl Sinks {
    /// `sinks` is the list under that key, in YAML.
    fn start(sinks: &str, change: impl FnOnce(&mut DeliverySettings)) -> Self {
        let mut settings = DeliverySettings::default();
        change(&mut settings);
        let mut registry = Registry::default();
        let metrics = DeliveryMetrics::register(&mut registry);
        let delivery = Delivery::new(settings, metrics).unwrap();
        let outlets = delivery.serve(&declared(sinks)).into_iter().flatten().collect();
        Self {
            delivery,
            registry,
            outlets,
        }
    }

    fn tell(&self, notice: &Notice) {
        for (sink, outlet) in self.outlets.iter().enumerate() {
            outlet.tell(Told {
                sink,
                notice: Arc::new(notice.clone()),
                ends_only: false,
            });
        }
    }

    /// A metric, over all series whose labels hold a text.
    fn count(&self, name: &str, labels: &str) -> u64 {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(labels));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum()
    }

    async fn until(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            let mut text = String::new();
            encode(&mut text, &self.registry).unwrap();
            assert!(start.elapsed() < Duration::from_mins(4), "waited for {what}\n{text}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Every notice is told, repeated, dropped or waits.
    fn adds_up(&self) {
        let [all, told, repeated, dropped, waiting] = [
            "notices_total",
            "notices_told_total",
            "notices_repeated_total",
            "notices_dropped_total",
            "notices_waiting",
        ]
        .map(|name| self.count(name, ""));
        assert_eq!(all, told + repeated + dropped + waiting);
    }
}

fn declared(sinks: &str) -> Vec<label_router::notice::sinks::SinkSpec> {
    let text = format!(
        "apiVersion: label-router/v1\nkind: RoutingPolicy\ngate: {{ label: routed }}\nrules:\n  - name: web\n    \
         routes: [{{ nodeSelector: {{ pool: a }} }}]\nsinks:\n{sinks}\n"
    );
    let file = "policy.yaml".to_owned();
    policy::load(&[PolicyText { file, text }]).unwrap().sinks
}

fn webhook(url: &str, more: &str) -> String {
    format!("  - {{ name: hook, type: webhook, url: \"{url}\", groupWait: 0s, groupInterval: 0s{more} }}")
}

fn routed(owner: &str, ordinal: usize) -> Notice {
    Notice {
        kind: Kind::Routed,
        severity: Severity::Info,
        namespace: "prod".to_owned(),
        owner: Some(samples::stateful_set(owner)),
        pod: format!("{owner}-{ordinal}"),
        rule: Some("parity".into()),
        route: Some(ordinal % 2),
        place: ["node1", "node2"][ordinal % 2].to_owned(),
        message: String::new(),
        generation: "abc".to_owned(),
        at: SystemTime::now(),
    }
}

#[tokio::test]
async fn a_message_that_fails_is_tried_again_and_arrives_once() {
    let mut answers = vec![Reply::status(503), Reply::status(429)].into_iter();
    let server = SinkDouble::start(move |_| answers.next().unwrap_or(Reply::status(204))).await;
    let sinks = Sinks::start(&webhook(&server.url("/"), ""), |_| {});
    sinks.tell(&routed("web", 0));
    sinks
        .until("it to arrive", |sinks| sinks.count("notices_told_total", "") == 1)
        .await;
    assert_eq!(server.received().len(), 3);
    assert_eq!(sinks.count("sink_attempts_total", "failed"), 2);
    assert_eq!(sinks.count("sink_messages_total", ""), 1);
    sinks.adds_up();
}

#[tokio::test]
async fn the_vendors_retry_after_is_waited_for() {
    let mut first = true;
    let server = SinkDouble::start(move |_| {
        if std::mem::take(&mut first) {
            Reply::Status(429, vec![("retry-after", "3".to_owned())], String::new())
        } else {
            Reply::status(200)
        }
    })
    .await;
    // Longer than it would be tried otherwise.
    let sinks = Sinks::start(&webhook(&server.url("/"), ""), |settings| {
        settings.give_up = Duration::from_secs(1);
    });
    sinks.tell(&routed("web", 0));
    let received = server.wait_for(2).await;
    assert!(received[1].at - received[0].at >= Duration::from_secs(3));
    sinks
        .until("it to arrive", |sinks| sinks.count("notices_told_total", "") == 1)
        .await;
}

#[tokio::test]
async fn what_is_refused_is_dropped_and_counted_and_told_when_it_happens_again() {
    let server = SinkDouble::start(|_| Reply::status(400)).await;
    let sinks = Sinks::start(&webhook(&server.url("/"), ""), |_| {});
    sinks.tell(&routed("web", 0));
    sinks
        .until("it to be dropped", |sinks| {
            sinks.count("notices_dropped_total", "refused") == 1
        })
        .await;
    assert_eq!(server.received().len(), 1);
    assert_eq!(sinks.count("notices_told_total", ""), 0);
    server.answers(|_| Reply::status(200));
    sinks.tell(&routed("web", 0));
    sinks
        .until("it to arrive", |sinks| sinks.count("notices_told_total", "") == 1)
        .await;
    sinks.adds_up();
}

#[tokio::test]
async fn a_sink_that_stays_dead_is_given_up_and_counted() {
    let sinks = Sinks::start(&webhook(&format!("http://{}/", nobody().await), ""), |settings| {
        settings.give_up = Duration::from_secs(2);
    });
    sinks.tell(&routed("web", 0));
    sinks
        .until("it to be given up", |sinks| {
            sinks.count("notices_dropped_total", "gaveUp") == 1
        })
        .await;
    sinks.adds_up();
}

#[tokio::test]
async fn what_waits_for_a_dead_sink_arrives_once_when_it_is_back() {
    let address = nobody().await;
    let sinks = Sinks::start(&webhook(&format!("http://{address}/"), ""), |_| {});
    for ordinal in 0..1000 {
        sinks.tell(&routed(&format!("web{}", ordinal % 10), ordinal));
        // As requests do: the worker has its turns.
        tokio::task::yield_now().await;
    }
    sinks
        .until("an attempt", |sinks| sinks.count("sink_attempts_total", "failed") > 0)
        .await;
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let server = SinkDouble::start_at(listener, |_| Reply::status(200));
    sinks
        .until("all to arrive", |sinks| sinks.count("notices_told_total", "") == 1000)
        .await;
    let pods = server
        .received()
        .iter()
        .map(|received| replicas(&received.json()))
        .sum::<usize>();
    assert_eq!(pods, 1000);
    sinks.adds_up();
}

/// How many replicas a CloudEvent tells of.
fn replicas(event: &serde_json::Value) -> usize {
    usize::try_from(event["data"]["digests"][0]["replicas"].as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn a_full_queue_drops_and_counts_and_nobody_waits() {
    let server = SinkDouble::start(|_| Reply::Slow(Duration::from_secs(5))).await;
    let sinks = Sinks::start(&webhook(&server.url("/"), ""), |settings| {
        settings.queue = NonZeroUsize::new(10).unwrap();
    });
    let start = Instant::now();
    // Without a pause, so that the worker has no turn.
    for ordinal in 0..100 {
        sinks.tell(&routed("web", ordinal));
    }
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(sinks.count("notices_dropped_total", "queueFull"), 90);
    assert_eq!(sinks.count("notices_total", ""), 100);
}

#[tokio::test]
async fn what_waits_is_sent_when_the_server_ends() {
    let server = SinkDouble::start(|_| Reply::status(200)).await;
    let quiet = webhook(&server.url("/"), "").replace("groupWait: 0s", "groupWait: 1h");
    let sinks = Sinks::start(&quiet, |_| {});
    sinks.tell(&routed("web", 0));
    sinks.tell(&routed("db", 0));
    sinks.delivery.flush(Duration::from_secs(10)).await;
    assert_eq!(server.received().len(), 2);
    assert_eq!(sinks.count("notices_told_total", ""), 2);
    sinks.adds_up();
}

#[tokio::test]
async fn what_fails_while_the_server_ends_is_tried_again_as_long_as_there_is_time() {
    let mut answers = vec![Reply::status(503), Reply::status(503)].into_iter();
    let server = SinkDouble::start(move |_| answers.next().unwrap_or(Reply::status(200))).await;
    let quiet = webhook(&server.url("/"), "").replace("groupWait: 0s", "groupWait: 1h");
    let sinks = Sinks::start(&quiet, |_| {});
    sinks.tell(&routed("web", 0));
    sinks.delivery.flush(Duration::from_secs(20)).await;
    assert_eq!(sinks.count("notices_told_total", ""), 1);
    sinks.adds_up();
}

#[tokio::test]
async fn a_bar_counts_for_every_sink_of_the_robot() {
    let server = SinkDouble::start(|_| Reply::ok("{\"errcode\":130101,\"errmsg\":\"send too fast\"}")).await;
    let url = server.url("/robot/send?access_token=t0ken");
    let sink = |name: &str| format!("  - {{ name: {name}, type: dingtalk, url: \"{url}\", groupWait: 0s }}");
    let sinks = Sinks::start(&format!("{}\n{}", sink("one"), sink("two")), |_| {});
    let told = |sink: usize, ordinal: usize| {
        sinks.outlets[sink].tell(Told {
            sink,
            notice: Arc::new(routed("web", ordinal)),
            ends_only: false,
        });
    };
    told(0, 0);
    sinks
        .until("the first to be barred", |sinks| sinks.count("sink_barred", "one") == 1)
        .await;
    told(1, 1);
    sinks
        .until("the second to wait", |sinks| sinks.count("notices_waiting", "two") == 1)
        .await;
    // Its message would be there at once.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn what_an_edited_and_a_removed_sink_counted_adds_up() {
    let server = SinkDouble::start(|_| Reply::status(200)).await;
    let slow = webhook(&server.url("/"), "").replace("groupWait: 0s", "groupWait: 1h");
    let mut sinks = Sinks::start(&slow, |_| {});
    sinks.tell(&routed("web", 0));
    sinks
        .until("it to wait", |sinks| sinks.count("notices_waiting", "") == 1)
        .await;
    let edited = slow.replace("groupWait: 1h", "groupWait: 2h");
    sinks.outlets = sinks.delivery.serve(&declared(&edited)).into_iter().flatten().collect();
    sinks.tell(&routed("web", 1));
    server.wait_for(1).await;
    sinks
        .until("one to wait", |sinks| {
            (
                sinks.count("notices_told_total", ""),
                sinks.count("notices_waiting", ""),
            ) == (1, 1)
        })
        .await;
    sinks.adds_up();
    sinks.outlets = sinks.delivery.serve(&[]).into_iter().flatten().collect();
    server.wait_for(2).await;
    sinks
        .until("it to be forgotten", |sinks| sinks.count("notices_total", "hook") == 0)
        .await;
}

#[tokio::test]
async fn a_dead_sink_does_not_hold_up_the_end_and_the_loss_is_counted() {
    let slow = SinkDouble::start(|_| Reply::Slow(Duration::from_mins(1))).await;
    for url in [format!("http://{}/", nobody().await), slow.url("/")] {
        let sinks = Sinks::start(&webhook(&url, ""), |_| {});
        sinks.tell(&routed("web", 0));
        sinks.tell(&routed("db", 0));
        sinks
            .until("them to wait", |sinks| sinks.count("notices_waiting", "") == 2)
            .await;
        let start = Instant::now();
        sinks.delivery.flush(Duration::from_secs(1)).await;
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert_eq!(sinks.count("notices_dropped_total", "shutdown"), 2, "{url}");
        sinks.adds_up();
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = SinkDouble::start(|_| Reply::status(200)).await;
    let to = other.url("/");
    let server = SinkDouble::start(move |_| Reply::Status(307, vec![("location", to.clone())], String::new())).await;
    let sinks = Sinks::start(&webhook(&server.url("/"), ""), |_| {});
    sinks.tell(&routed("web", 0));
    sinks
        .until("it to be dropped", |sinks| {
            sinks.count("notices_dropped_total", "refused") == 1
        })
        .await;
    assert!(other.received().is_empty());
}

#[tokio::test]
async fn an_unchanged_sink_goes_on_over_a_reload_and_one_left_out_sends_what_it_has() {
    let server = SinkDouble::start(|_| Reply::status(200)).await;
    let slow = webhook(&server.url("/"), "").replace("groupWait: 0s", "groupWait: 1h");
    let other = "  - { name: other, type: log }";
    let mut sinks = Sinks::start(&slow, |_| {});
    sinks.tell(&routed("web", 0));
    sinks
        .until("it to wait", |sinks| sinks.count("notices_waiting", "") == 1)
        .await;
    // One more sink: the first is as it was, and waits on.
    sinks.outlets = sinks
        .delivery
        .serve(&declared(&format!("{slow}\n{other}")))
        .into_iter()
        .flatten()
        .collect();
    sinks.tell(&routed("web", 2));
    sinks
        .until("both to wait", |sinks| sinks.count("notices_waiting", "hook") == 2)
        .await;
    assert!(server.received().is_empty());
    // Left out: what it has is sent as soon as nobody holds its outlet.
    sinks.outlets = sinks.delivery.serve(&declared(other)).into_iter().flatten().collect();
    let received = server.wait_for(1).await;
    assert_eq!(replicas(&received[0].json()), 2);
}

#[tokio::test]
async fn a_secret_file_that_changes_counts_with_the_next_message() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    let (one, two) = (
        SinkDouble::start(|_| Reply::status(200)).await,
        SinkDouble::start(|_| Reply::status(200)).await,
    );
    std::fs::write(&file, one.url("/one\n")).unwrap();
    let sink = format!(
        "  - {{ name: hook, type: webhook, url: {{ file: \"{}\" }}, groupWait: 0s, groupInterval: 0s }}",
        file.display()
    );
    let sinks = Sinks::start(&sink, |_| {});
    sinks.tell(&routed("web", 0));
    one.wait_for(1).await;
    std::fs::write(&file, two.url("/two\n")).unwrap();
    sinks.tell(&routed("web", 1));
    assert_eq!(two.wait_for(1).await[0].uri.path(), "/two");
}

#[tokio::test]
async fn an_address_where_clouds_keep_credentials_is_refused() {
    let sinks = Sinks::start(&webhook("http://169.254.169.254/latest/meta-data/", ""), |_| {});
    sinks.tell(&routed("web", 0));
    sinks
        .until("it to be refused", |sinks| {
            sinks.count("notices_dropped_total", "refused") == 1
        })
        .await;
}

/// A robot as DingTalk has them: 20 messages a minute, and who sends more is barred for ten minutes.
async fn dingtalk() -> SinkDouble {
    let mut sent: Vec<Instant> = Vec::new();
    let mut barred = false;
    SinkDouble::start(move |received| {
        sent.push(received.at);
        let minute = sent
            .iter()
            .filter(|at| received.at - **at < Duration::from_mins(1))
            .count();
        barred |= minute > 20;
        if barred {
            Reply::ok("{\"errcode\":130101,\"errmsg\":\"send too fast, exceed 20 times per minute\"}")
        } else {
            Reply::ok("{\"errcode\":0,\"errmsg\":\"ok\"}")
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: just nightly"]
async fn ten_thousand_notices_in_a_minute_keep_to_what_dingtalk_takes() {
    let robot = dingtalk().await;
    let sink = format!(
        "  - {{ name: ops, type: dingtalk, url: \"{}\", groupWait: 1s, groupInterval: 5s }}",
        robot.url("/robot/send?access_token=t0ken")
    );
    let sinks = Sinks::start(&sink, |settings| settings.replicas = NonZeroU32::MIN);
    let start = tokio::time::Instant::now();
    for number in 0..10_000_u32 {
        // Four hundred owners.
        sinks.tell(&routed(&format!("web{}", number % 400), number as usize));
        tokio::time::sleep_until(start + Duration::from_millis(6) * number).await;
    }
    sinks
        .until("all to be told", |sinks| sinks.count("notices_waiting", "") == 0)
        .await;
    let received = robot.received();
    for at in received.iter().map(|received| received.at) {
        let minute = received
            .iter()
            .filter(|other| other.at >= at && other.at - at < Duration::from_mins(1));
        assert!(minute.count() <= 20);
    }
    assert_eq!(sinks.count("sink_attempts_total", "barred"), 0);
    assert_eq!(sinks.count("notices_total", ""), 10_000);
    sinks.adds_up();
    let (told, dropped) = (
        sinks.count("notices_told_total", ""),
        sinks.count("notices_dropped_total", ""),
    );
    eprintln!("{told} told in {} messages, {dropped} dropped", received.len());
    assert!(told > 9_000, "{told}");
}
