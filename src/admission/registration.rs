//! The registration that a policy needs: which Pods the API server must ask about, and whether a live registration does.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
    ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};

use crate::engine::Snapshot;
use crate::engine::gate::Gate;
use crate::engine::rule::Verdict;

/// The path at which AdmissionReviews of Pods are answered.
pub const PATH: &str = "/mutate";

/// The path at which policies and workloads are looked at when somebody applies them.
pub const VALIDATION_PATH: &str = "/validate";

/// The label of a ConfigMap that carries a policy.
pub const POLICY_LABEL: (&str, &str) = ("label-router/policy", "true");

/// How many seconds the API server waits for what is said about a policy or a workload.
const VALIDATION_TIMEOUT: i32 = 5;

/// How many seconds the API server waits. A decision takes microseconds; what takes longer is the network.
const TIMEOUT: i32 = 3;

/// The label by which a namespace's name can be selected. Source: well-known labels, set by the API server.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// What a cluster needs to start must not wait for label-router.
const SYSTEM: &str = "kube-system";

/// The name of the match condition that stands for several gates.
const GATED: &str = "gated";

/// The first segment of the name of the webhook that looks at the scale subresource, and that needs a right for it.
pub const SCALES: &str = "scales";

/// Holds for a Scale that asks for more Pods than before. The API server leaves out a number of 0.
const GROWS: &str = "has(object.spec.replicas) && \
                     (!has(oldObject.spec.replicas) || object.spec.replicas > oldObject.spec.replicas)";

/// Where the API server finds label-router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The registration's name.
    pub registration: String,
    /// The Service's namespace, which is label-router's own.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// The Service's port.
    pub port: i32,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            registration: "label-router".to_owned(),
            namespace: "label-router".to_owned(),
            service: "label-router".to_owned(),
            port: 443,
        }
    }
}

impl Endpoint {
    /// The host name that the API server calls, and that the certificate must be for.
    pub fn host(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }

    /// True where a webhook of a registration leads here.
    pub fn is_called_by(&self, called: &WebhookClientConfig) -> bool {
        called
            .service
            .as_ref()
            .is_some_and(|service| service.name == self.service && service.namespace == self.namespace)
    }

    fn client_config(&self, path: &str) -> WebhookClientConfig {
        WebhookClientConfig {
            service: Some(ServiceReference {
                namespace: self.namespace.clone(),
                name: self.service.clone(),
                path: Some(path.to_owned()),
                port: Some(self.port),
            }),
            ..WebhookClientConfig::default()
        }
    }

    fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.registration.clone()),
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/name".to_owned(),
                self.registration.clone(),
            )])),
            ..ObjectMeta::default()
        }
    }

    /// The namespaces whose Pods are never asked about.
    fn left_out(&self) -> Vec<String> {
        let mut namespaces = vec![SYSTEM.to_owned()];
        if self.namespace != SYSTEM {
            namespaces.push(self.namespace.clone());
        }
        namespaces
    }
}

/// The Pods that somebody in the policy wants to see: those with this label, in these namespaces.
struct Demand<'s> {
    /// The rule, or none where it is the file's `unmatched: reject`.
    rule: Option<&'s str>,
    gate: &'s Gate,
    /// `None`: any.
    namespaces: Option<Vec<&'s str>>,
}

fn demands(snapshot: &Snapshot) -> Vec<Demand<'_>> {
    let unmatched = snapshot
        .gate
        .as_ref()
        .filter(|_| snapshot.unmatched == Verdict::Reject)
        .map(|gate| Demand {
            rule: None,
            gate,
            namespaces: None,
        });
    let rules = snapshot.rules().iter().map(|rule| Demand {
        rule: Some(rule.name.as_ref()),
        gate: &rule.gate,
        namespaces: rule
            .matching
            .namespaces
            .as_ref()
            .and_then(crate::engine::glob::Globs::literals),
    });
    unmatched.into_iter().chain(rules).collect()
}

/// The registration for a policy, without a caBundle: who makes the certificate fills that in, and applying this again
/// leaves it alone.
///
/// Only the creation of Pods is asked about. Where all rules share one gating label, an objectSelector keeps every other
/// Pod from ever waiting for label-router, so that `failurePolicy` may be Fail: a Pod that was placed nowhere cannot be moved
/// later. Several labels cannot be ORed in a selector; a match condition does that, and the policy is Ignore then.
pub fn registration(snapshot: &Snapshot, endpoint: &Endpoint) -> MutatingWebhookConfiguration {
    let demands = demands(snapshot);
    let gates = gates(&demands);
    let (object_selector, match_conditions) = match gates.iter().collect::<Vec<_>>().as_slice() {
        [(label, values)] => (Some(selector_of(label, values.as_ref())), None),
        _ => (
            None,
            Some(vec![MatchCondition {
                name: GATED.to_owned(),
                expression: gated("object", &gates),
            }]),
        ),
    };
    let bounded = object_selector.is_some();
    let webhook = MutatingWebhook {
        name: format!("pods.{}", endpoint.host()),
        client_config: endpoint.client_config(PATH),
        rules: Some(vec![RuleWithOperations {
            operations: Some(vec!["CREATE".to_owned()]),
            api_groups: Some(vec![String::new()]),
            api_versions: Some(vec!["v1".to_owned()]),
            resources: Some(vec!["pods".to_owned()]),
            scope: Some("Namespaced".to_owned()),
        }]),
        object_selector,
        match_conditions,
        namespace_selector: Some(namespaces(&demands, endpoint)),
        failure_policy: Some(if bounded { "Fail" } else { "Ignore" }.to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        reinvocation_policy: Some("IfNeeded".to_owned()),
        side_effects: "NoneOnDryRun".to_owned(),
        timeout_seconds: Some(TIMEOUT),
        admission_review_versions: vec!["v1".to_owned()],
    };
    MutatingWebhookConfiguration {
        metadata: endpoint.metadata(),
        webhooks: Some(vec![webhook]),
    }
}

/// The registration by which whoever applies a policy or a workload is told at once what is wrong with it. It only tells:
/// under `failurePolicy: Ignore` nothing waits for label-router, and nothing fails with it.
///
/// The last webhook, [`SCALES`], is about workloads that are scaled. It is of use only where label-router may read them.
pub fn validation(snapshot: &Snapshot, endpoint: &Endpoint) -> ValidatingWebhookConfiguration {
    let demands = demands(snapshot);
    let rule_of = |operations: &[&str], groups: &str, resources: &[&str]| RuleWithOperations {
        operations: Some(operations.iter().map(|operation| (*operation).to_owned()).collect()),
        api_groups: Some(vec![groups.to_owned()]),
        api_versions: Some(vec!["v1".to_owned()]),
        resources: Some(resources.iter().map(|resource| (*resource).to_owned()).collect()),
        scope: Some("Namespaced".to_owned()),
    };
    let rule = |groups: &str, resources: &[&str]| rule_of(&["CREATE", "UPDATE"], groups, resources);
    let webhook = |name: &str, rules: Vec<RuleWithOperations>| ValidatingWebhook {
        name: format!("{name}.{}", endpoint.host()),
        client_config: endpoint.client_config(VALIDATION_PATH),
        rules: Some(rules),
        failure_policy: Some("Ignore".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(VALIDATION_TIMEOUT),
        admission_review_versions: vec!["v1".to_owned()],
        ..ValidatingWebhook::default()
    };
    let policies = ValidatingWebhook {
        object_selector: Some(LabelSelector {
            match_labels: Some(BTreeMap::from([(POLICY_LABEL.0.to_owned(), POLICY_LABEL.1.to_owned())])),
            ..LabelSelector::default()
        }),
        namespace_selector: Some(LabelSelector {
            match_labels: Some(BTreeMap::from([(
                NAMESPACE_NAME.to_owned(),
                endpoint.namespace.clone(),
            )])),
            ..LabelSelector::default()
        }),
        ..webhook("policies", vec![rule("", &["configmaps"])])
    };
    let condition = |name: &str, expression: String| MatchCondition {
        name: name.to_owned(),
        expression,
    };
    let workloads = ValidatingWebhook {
        namespace_selector: Some(namespaces(&demands, endpoint)),
        // The gating label stands in the template, where no selector looks.
        match_conditions: Some(vec![
            condition(GATED, gated("object.spec.template", &gates(&demands))),
            condition(
                "changed",
                "oldObject == null || object.spec != oldObject.spec".to_owned(),
            ),
        ]),
        ..webhook(
            "workloads",
            vec![rule("apps", &["statefulsets", "deployments"]), rule("batch", &["jobs"])],
        )
    };
    // Its own webhook: a Scale holds no template, so that a condition about one fails, and the webhook is not called.
    let scales = ValidatingWebhook {
        namespace_selector: workloads.namespace_selector.clone(),
        match_conditions: Some(vec![condition("grows", GROWS.to_owned())]),
        ..webhook(
            SCALES,
            vec![rule_of(
                &["UPDATE"],
                "apps",
                &["statefulsets/scale", "deployments/scale"],
            )],
        )
    };
    ValidatingWebhookConfiguration {
        metadata: endpoint.metadata(),
        webhooks: Some(vec![policies, workloads, scales]),
    }
}

/// The gating labels with the values that open them; `None` where any does.
fn gates<'s>(demands: &[Demand<'s>]) -> BTreeMap<&'s str, Option<BTreeSet<&'s str>>> {
    let mut gates: BTreeMap<&str, Option<BTreeSet<&str>>> = BTreeMap::new();
    for demand in demands {
        let values = gates
            .entry(demand.gate.label.as_str())
            .or_insert_with(|| Some(BTreeSet::new()));
        match (values.as_mut(), demand.gate.literals()) {
            (Some(values), Some(more)) => values.extend(more),
            _ => *values = None,
        }
    }
    gates
}

fn selector_of(label: &str, values: Option<&BTreeSet<&str>>) -> LabelSelector {
    let requirement = |operator: &str, values: Option<Vec<String>>| LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: label.to_owned(),
            operator: operator.to_owned(),
            values,
        }]),
        ..LabelSelector::default()
    };
    match values {
        None => requirement("Exists", None),
        Some(values) if values.len() == 1 => LabelSelector {
            match_labels: Some(
                values
                    .iter()
                    .map(|value| (label.to_owned(), (*value).to_owned()))
                    .collect(),
            ),
            ..LabelSelector::default()
        },
        Some(values) => requirement("In", Some(values.iter().map(|value| (*value).to_owned()).collect())),
    }
}

/// A CEL expression that holds for an object, or a template in it, with one of these labels. Keys and values of labels hold
/// no quotes.
fn gated(object: &str, gates: &BTreeMap<&str, Option<BTreeSet<&str>>>) -> String {
    let labels = format!("{object}.metadata.labels");
    let each: Vec<String> = gates
        .iter()
        .map(|(label, values)| match values {
            None => format!("'{label}' in {labels}"),
            Some(values) => {
                let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
                format!(
                    "'{label}' in {labels} && {labels}['{label}'] in [{}]",
                    values.join(", ")
                )
            }
        })
        .collect();
    format!("has({labels}) && ({})", each.join(" || "))
}

fn namespaces(demands: &[Demand<'_>], endpoint: &Endpoint) -> LabelSelector {
    let left_out = endpoint.left_out();
    let named: Option<BTreeSet<&str>> = demands
        .iter()
        .map(|demand| demand.namespaces.as_deref())
        .collect::<Option<Vec<_>>>()
        .map(|lists| lists.into_iter().flatten().copied().collect());
    let (operator, values) = match named {
        Some(mut named) if !named.is_empty() => {
            named.retain(|name| !left_out.iter().any(|left| left == name));
            if named.is_empty() {
                // Selects none, for every namespace has this label. The API server takes no `In` without values.
                ("DoesNotExist", None)
            } else {
                ("In", Some(named.into_iter().map(str::to_owned).collect()))
            }
        }
        _ => ("NotIn", Some(left_out)),
    };
    LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: NAMESPACE_NAME.to_owned(),
            operator: operator.to_owned(),
            values,
        }]),
        ..LabelSelector::default()
    }
}

/// What a live registration leaves out: a sentence for each rule with Pods that the API server never asks about.
///
/// A Pod is taken for each gate and namespace of the policy, with the gating label and nothing else. Namespaces that are
/// left out on purpose do not count, unless a rule is for no others: it never acts. Match conditions are taken to hold,
/// unless the condition is our own and says something else than this policy needs.
pub fn gaps(live: &MutatingWebhookConfiguration, snapshot: &Snapshot, endpoint: &Endpoint) -> Vec<String> {
    let ours: Vec<&MutatingWebhook> = live
        .webhooks
        .iter()
        .flatten()
        .filter(|webhook| endpoint.is_called_by(&webhook.client_config))
        .collect();
    if ours.is_empty() {
        return vec![format!(
            "no webhook in it calls the Service {}/{}",
            endpoint.namespace, endpoint.service
        )];
    }
    let demands = demands(snapshot);
    let needed = gated("object", &gates(&demands));
    let asking: Vec<&MutatingWebhook> = ours
        .into_iter()
        .filter(|webhook| asks_about_new_pods(webhook) && !has_another_condition(webhook, &needed))
        .collect();
    let left_out = endpoint.left_out();
    let mut gaps = Vec::new();
    for demand in &demands {
        let values = demand.gate.literals().unwrap_or_else(|| vec!["any-other-value"]);
        let namespaces = demand.namespaces.clone().unwrap_or_else(|| vec!["any-other-namespace"]);
        let asked = |value: &str, namespace: &str| {
            let labels = BTreeMap::from([(demand.gate.label.as_str(), value)]);
            let namespace = BTreeMap::from([(NAMESPACE_NAME, namespace)]);
            asking.iter().any(|webhook| is_selected(webhook, &labels, &namespace))
        };
        let who = demand
            .rule
            .map_or_else(|| "unmatched: reject".to_owned(), |rule| format!("rule {rule}"));
        let counted: Vec<&str> = namespaces
            .iter()
            .copied()
            .filter(|namespace| !left_out.iter().any(|left| left == namespace))
            .collect();
        let asked_anywhere = |value: &&str| namespaces.iter().any(|namespace| asked(value, namespace));
        if counted.is_empty() && !values.iter().any(asked_anywhere) {
            gaps.push(format!(
                "{who} is only for Pods in {}, and the API server does not ask about those, so that a cluster starts without \
                 label-router; name another namespace in its match, or take the rule out",
                namespaces.join(" and ")
            ));
            continue;
        }
        let missed = values.iter().find_map(|value| {
            let missed = counted.iter().find(|namespace| !asked(value, namespace));
            missed.map(|namespace| (*value, *namespace))
        });
        if let Some((value, namespace)) = missed {
            let label = match demand.gate.literals() {
                Some(_) => format!("{}={value}", demand.gate.label),
                None => format!("{} of any value", demand.gate.label),
            };
            let place = match &demand.namespaces {
                Some(_) => format!("in the namespace {namespace}"),
                None => "in every namespace".to_owned(),
            };
            gaps.push(format!(
                "{who} is for Pods with the label {label} {place}, and the API server does not ask about all of them"
            ));
        }
    }
    gaps
}

/// True where a webhook's selectors are for a Pod with these labels, in a namespace with those.
pub fn is_selected(
    webhook: &MutatingWebhook,
    labels: &BTreeMap<&str, &str>,
    namespace_labels: &BTreeMap<&str, &str>,
) -> bool {
    selects(webhook.object_selector.as_ref(), labels) && selects(webhook.namespace_selector.as_ref(), namespace_labels)
}

fn asks_about_new_pods(webhook: &MutatingWebhook) -> bool {
    let has =
        |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|item| item == wanted || item == "*");
    webhook.rules.iter().flatten().any(|rule| {
        has(&rule.operations, "CREATE")
            && has(&rule.api_groups, "")
            && has(&rule.api_versions, "v1")
            && (has(&rule.resources, "pods") || has(&rule.resources, "*/*"))
            && rule.scope.as_deref() != Some("Cluster")
    })
}

fn has_another_condition(webhook: &MutatingWebhook, needed: &str) -> bool {
    webhook
        .match_conditions
        .iter()
        .flatten()
        .any(|condition| condition.name == GATED && condition.expression != needed)
}

/// True where labels fit a selector; an absent one fits all.
fn selects(selector: Option<&LabelSelector>, labels: &BTreeMap<&str, &str>) -> bool {
    let Some(selector) = selector else { return true };
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key.as_str()) == Some(&value.as_str()));
    equal
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let value = labels.get(requirement.key.as_str());
            let listed = |value: &str| requirement.values.iter().flatten().any(|item| item == value);
            match requirement.operator.as_str() {
                "In" => value.is_some_and(|value| listed(value)),
                "NotIn" => value.is_none_or(|value| !listed(value)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
