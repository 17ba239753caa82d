//! What one AdmissionReview costs: decode, decide and encode, beside the time in which serde_json only scans its bytes.

use std::fmt::Write;
use std::hint::black_box;
use std::time::SystemTime;

use criterion::{Criterion, criterion_group, criterion_main};
use label_router::admission::{Wanted, decode, encode};
use label_router::engine::{NoTrace, Recorder, Snapshot, decide};
use label_router::policy::{self, Compiled, PolicyText};
use serde::de::IgnoredAny;

// The allocator of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A review of 3.2 kB recorded from a real API server: a StatefulSet's Pod.
const REVIEW: &str = include_str!("../tests/reviews/statefulset-web-0.json");

fn compiled(text: &str) -> Compiled {
    let texts = [PolicyText {
        file: "bench.yaml".to_owned(),
        text: text.to_owned(),
    }];
    match policy::load(&texts) {
        Ok(compiled) => compiled,
        Err(problems) => panic!("{problems}"),
    }
}

fn snapshot(text: &str) -> Snapshot {
    compiled(text).snapshot
}

/// A policy of which the last rule is the one that matches; `told_apart` writes the match of rule `n`.
fn rules(count: usize, told_apart: impl Fn(usize) -> String) -> Snapshot {
    let mut text = "apiVersion: label-router/v1\nkind: RoutingPolicy\n\
        gate: { label: ab-build-different, value: \"true\" }\nrules:\n"
        .to_owned();
    for number in 0..count {
        let last = number + 1 == count;
        let matching = if last {
            "{ owner: { kinds: [StatefulSet], names: [web] }, namespaces: [default] }".to_owned()
        } else {
            told_apart(number)
        };
        write!(
            text,
            "  - name: r{number}\n    match: {matching}\n    ordinal: {{ from: [podIndexLabel] }}\n    \
             document: {{ annotation: custom-node-selector }}\n    routes:\n      \
             - {{ when: even, nodeSelector: {{ \"${{$.document.key}}\": \"${{$.document.even}}\" }} }}\n      \
             - {{ when: odd, nodeSelector: {{ \"${{$.document.key}}\": \"${{$.document.odd}}\" }} }}\n"
        )
        .unwrap_or_default();
    }
    snapshot(&text)
}

fn whole(criterion: &mut Criterion, name: &str, snapshot: &Snapshot) {
    let wanted = Wanted::by(snapshot);
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            let request = decode(black_box(REVIEW), &wanted);
            request.map(|request| {
                let decision = decide(snapshot, &request, &mut NoTrace);
                encode(&request, &decision, snapshot.generation())
            })
        });
    });
}

fn benches(criterion: &mut Criterion) {
    criterion.bench_function("scan: serde_json IgnoredAny, the floor", |bencher| {
        bencher.iter(|| serde_json::from_str::<IgnoredAny>(black_box(REVIEW)));
    });
    let default = snapshot(policy::DEFAULT);
    let wanted = Wanted::by(&default);
    criterion.bench_function("decode", |bencher| {
        bencher.iter(|| decode(black_box(REVIEW), &wanted));
    });
    if let Ok(request) = decode(REVIEW, &wanted) {
        criterion.bench_function("decide", |bencher| {
            bencher.iter(|| decide(&default, black_box(&request), &mut NoTrace));
        });
        criterion.bench_function("decide, with a trace", |bencher| {
            bencher.iter(|| decide(&default, black_box(&request), &mut Recorder::default()));
        });
        let decision = decide(&default, &request, &mut NoTrace);
        let telling = compiled(policy::DEFAULT).telling;
        criterion.bench_function("notice, for one sink", |bencher| {
            let notices = || {
                telling.notices(&request, black_box(&decision), "0123456789ab", SystemTime::now, |_| {
                    false
                })
            };
            bencher.iter(notices);
        });
        criterion.bench_function("encode", |bencher| {
            bencher.iter(|| encode(&request, black_box(&decision), "0123456789ab"));
        });
    }
    whole(criterion, "decode + decide + encode, default policy", &default);
    whole(criterion, "1 rule", &rules(1, |_| String::new()));
    whole(
        criterion,
        "1,000 rules told apart by owner name",
        &rules(1000, |number| {
            format!("{{ owner: {{ kinds: [StatefulSet], names: [db-{number}] }} }}")
        }),
    );
    whole(
        criterion,
        "1,000 rules told apart by namespace",
        &rules(1000, |number| format!("{{ namespaces: [team-{number}] }}")),
    );
    whole(
        criterion,
        "1,000 rules told apart by globs only",
        &rules(1000, |number| format!("{{ owner: {{ names: [\"db-{number}-*\"] }} }}")),
    );
}

criterion_group!(decision, benches);
criterion_main!(decision);
