//! A workload and its Pods, as the API server is asked to create them.
//!
//! Only what an admission can see is made: metadata, and the template's spec with what the controller writes into it. What
//! the API server defaults stands in the template of a live workload already.

use std::fmt;

use serde_json::{Map, Value, json};

/// The label and annotation of an indexed Job's Pods.
const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// A workload whose controller makes Pods.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'w> {
    value: &'w Value,
    template: &'w Value,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    StatefulSet,
    IndexedJob,
    Job,
    ReplicaSet,
    Deployment,
    CronJob,
}

/// Why something is no workload whose Pods are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAWorkload(String);

impl fmt::Display for NotAWorkload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for NotAWorkload {}

impl<'w> Workload<'w> {
    /// Looks at a workload. A StatefulSet may be of another group, such as `apps.kruise.io`.
    pub fn new(value: &'w Value) -> Result<Self, NotAWorkload> {
        let spec = &value["spec"];
        let indexed = |spec: &Value| spec["completionMode"] == "Indexed";
        let (kind, template) = match value["kind"].as_str().unwrap_or_default() {
            "StatefulSet" => (Kind::StatefulSet, &spec["template"]),
            "Job" if indexed(spec) => (Kind::IndexedJob, &spec["template"]),
            "Job" => (Kind::Job, &spec["template"]),
            "ReplicaSet" | "ReplicationController" => (Kind::ReplicaSet, &spec["template"]),
            "Deployment" => (Kind::Deployment, &spec["template"]),
            "CronJob" => (Kind::CronJob, &spec["jobTemplate"]["spec"]["template"]),
            "" => return Err(NotAWorkload("the object has no kind".to_owned())),
            other => {
                return Err(NotAWorkload(format!(
                    "what Pods a {other} makes is not known; StatefulSet, Job, CronJob, ReplicaSet and Deployment are"
                )));
            }
        };
        if !template.is_object() {
            return Err(NotAWorkload("the workload has no Pod template".to_owned()));
        }
        Ok(Self { value, template, kind })
    }

    /// Its kind.
    pub fn kind(&self) -> &'w str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &'w str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Its namespace; `default` where it names none.
    pub fn namespace(&self) -> &'w str {
        self.value["metadata"]["namespace"].as_str().unwrap_or("default")
    }

    /// `StatefulSet prod/db`
    pub fn display_name(&self) -> String {
        format!("{} {}/{}", self.kind(), self.namespace(), self.name())
    }

    /// How many Pods it asks for.
    pub fn replicas(&self) -> u64 {
        let spec = &self.value["spec"];
        let number = match self.kind {
            Kind::StatefulSet | Kind::ReplicaSet | Kind::Deployment => &spec["replicas"],
            Kind::IndexedJob => &spec["completions"],
            Kind::Job => &spec["parallelism"],
            Kind::CronJob => &spec["jobTemplate"]["spec"]["parallelism"],
        };
        number.as_u64().unwrap_or(1)
    }

    /// Who creates its Pods: the user name of its controller.
    pub fn creator(&self) -> &'static str {
        match self.kind {
            Kind::StatefulSet => "system:serviceaccount:kube-system:statefulset-controller",
            Kind::IndexedJob | Kind::Job | Kind::CronJob => "system:serviceaccount:kube-system:job-controller",
            Kind::ReplicaSet | Kind::Deployment => "system:serviceaccount:kube-system:replicaset-controller",
        }
    }

    /// Its Pod number `at`, counted from 0, whether or not it asks for that many. Pods without an index are all alike.
    pub fn pod(&self, at: u64) -> Value {
        let (own_kind, own_name) = (self.kind(), self.name());
        let version = self.value["apiVersion"].as_str().unwrap_or_default();
        match self.kind {
            Kind::StatefulSet => self.replica(at),
            Kind::IndexedJob => self.indexed(at, own_name),
            Kind::Job => self.made(own_name, (version, "Job", own_name)),
            Kind::ReplicaSet => self.made(own_name, (version, own_kind, own_name)),
            Kind::Deployment => {
                // A stand-in for the hash of the template.
                const HASH: &str = "0000000000";
                let set = format!("{own_name}-{HASH}");
                let mut pod = self.made(&set, ("apps/v1", "ReplicaSet", &set));
                pod["metadata"]["labels"]["pod-template-hash"] = HASH.into();
                pod
            }
            Kind::CronJob => {
                // A stand-in for the minute it runs at.
                let job = format!("{own_name}-00000000");
                let mut pod = if self.value["spec"]["jobTemplate"]["spec"]["completionMode"] == "Indexed" {
                    self.indexed(at, &job)
                } else {
                    self.made(&job, ("batch/v1", "Job", &job))
                };
                for key in ["batch.kubernetes.io/job-name", "job-name"] {
                    pod["metadata"]["labels"][key] = job.as_str().into();
                }
                pod
            }
        }
    }

    /// Its first `count` Pods.
    pub fn pods(self, count: u64) -> impl Iterator<Item = Value> + use<'w> {
        (0..count).map(move |at| self.pod(at))
    }

    /// What all controllers make: the template's labels, annotations and spec, a generated name, and the owner.
    fn made(&self, prefix: &str, (version, kind, owner): (&str, &str, &str)) -> Value {
        let map = |name: &str| match &self.template["metadata"][name] {
            Value::Object(map) => map.clone(),
            _ => Map::new(),
        };
        let mut metadata = json!({
            "generateName": format!("{prefix}-"),
            "namespace": self.namespace(),
            "labels": map("labels"),
            "ownerReferences": [{
                "apiVersion": version,
                "kind": kind,
                "name": owner,
                "uid": self.value["metadata"]["uid"].as_str().unwrap_or("00000000-0000-0000-0000-000000000000"),
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        });
        let annotations = map("annotations");
        if !annotations.is_empty() {
            metadata["annotations"] = annotations.into();
        }
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": match &self.template["spec"] {
                spec @ Value::Object(_) => spec.clone(),
                _ => json!({}),
            },
        })
    }

    /// Source: `newStatefulSetPod`, `initIdentity` and `updateStorage` in pkg/controller/statefulset/stateful_set_utils.go
    fn replica(&self, at: u64) -> Value {
        let spec = &self.value["spec"];
        let ordinal = spec["ordinals"]["start"].as_u64().unwrap_or(0) + at;
        let owner = self.name();
        let name = format!("{owner}-{ordinal}");
        let version = self.value["apiVersion"].as_str().unwrap_or("apps/v1");
        let mut pod = self.made(owner, (version, "StatefulSet", owner));
        pod["metadata"]["name"] = name.as_str().into();
        let labels = &mut pod["metadata"]["labels"];
        labels["apps.kubernetes.io/pod-index"] = ordinal.to_string().into();
        labels["statefulset.kubernetes.io/pod-name"] = name.as_str().into();
        if let Some(revision) = self.value["status"]["updateRevision"].as_str() {
            labels["controller-revision-hash"] = revision.into();
        }
        pod["spec"]["hostname"] = name.as_str().into();
        if let Some(service) = spec["serviceName"].as_str().filter(|service| !service.is_empty()) {
            pod["spec"]["subdomain"] = service.into();
        }
        let claims: Vec<&str> = spec["volumeClaimTemplates"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|claim| claim["metadata"]["name"].as_str())
            .collect();
        if !claims.is_empty() {
            let others = pod["spec"]["volumes"].as_array().into_iter().flatten();
            let others = others.filter(|volume| !claims.iter().any(|claim| volume["name"] == *claim));
            let volumes = claims
                .iter()
                .map(|claim| {
                    json!({ "name": claim, "persistentVolumeClaim": { "claimName": format!("{claim}-{name}") } })
                })
                .chain(others.cloned())
                .collect();
            pod["spec"]["volumes"] = Value::Array(volumes);
        }
        pod
    }

    /// Source: `manageJob` in pkg/controller/job/job_controller.go
    fn indexed(&self, index: u64, job: &str) -> Value {
        let version = "batch/v1";
        let mut pod = self.made(&format!("{job}-{index}"), (version, "Job", job));
        let index = index.to_string();
        pod["metadata"]["labels"][COMPLETION_INDEX] = index.as_str().into();
        pod["metadata"]["annotations"][COMPLETION_INDEX] = index.as_str().into();
        pod["spec"]["hostname"] = format!("{job}-{index}").into();
        for containers in ["initContainers", "containers"] {
            let containers = pod["spec"].get_mut(containers).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                let variable = json!({
                    "name": "JOB_COMPLETION_INDEX",
                    "valueFrom": { "fieldRef": {
                        "apiVersion": "v1",
                        "fieldPath": format!("metadata.labels['{COMPLETION_INDEX}']"),
                    } },
                });
                match container.get_mut("env").and_then(Value::as_array_mut) {
                    Some(variables) => variables.push(variable),
                    None => container["env"] = json!([variable]),
                }
            }
        }
        pod
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Pod of a review recorded from a real API server, without what only the API server writes.
    fn recorded(review: &str) -> Value {
        let review: Value = serde_json::from_str(review).unwrap();
        let mut pod = review["request"]["object"].clone();
        pod["metadata"].as_object_mut().unwrap().remove("managedFields");
        pod["metadata"].as_object_mut().unwrap().remove("finalizers");
        pod.as_object_mut().unwrap().remove("status");
        pod
    }

    /// The workload that a recorded Pod belongs to: its template is the Pod without what its controller wrote.
    fn owner(pod: &Value, own_labels: &[&str], own_annotations: &[&str], own_spec: &[&str], spec: &Value) -> Value {
        let reference = &pod["metadata"]["ownerReferences"][0];
        let mut template = json!({ "metadata": {}, "spec": pod["spec"] });
        for (name, own) in [("labels", own_labels), ("annotations", own_annotations)] {
            let Some(mut map) = pod["metadata"][name].as_object().cloned() else {
                continue;
            };
            map.retain(|key, _| !own.contains(&key.as_str()));
            template["metadata"][name] = map.into();
        }
        for name in own_spec {
            template["spec"].as_object_mut().unwrap().remove(*name);
        }
        let mut workload = json!({
            "apiVersion": reference["apiVersion"],
            "kind": reference["kind"],
            "metadata": {
                "name": reference["name"], "namespace": pod["metadata"]["namespace"], "uid": reference["uid"],
            },
            "spec": spec,
        });
        workload["spec"]["template"] = template;
        workload
    }

    const STATEFULSET: [&str; 3] = [
        "apps.kubernetes.io/pod-index",
        "statefulset.kubernetes.io/pod-name",
        "controller-revision-hash",
    ];

    #[test]
    fn a_replica_is_as_it_was_recorded() {
        let pod = recorded(include_str!("../../tests/reviews/statefulset-web-1.json"));
        let spec = json!({ "replicas": 2, "serviceName": pod["spec"]["subdomain"] });
        let mut set = owner(&pod, &STATEFULSET, &[], &["hostname", "subdomain"], &spec);
        set["status"] = json!({ "updateRevision": pod["metadata"]["labels"]["controller-revision-hash"] });
        let set = Workload::new(&set).unwrap();
        assert_eq!(set.replicas(), 2);
        assert_eq!(set.pod(1), pod);
    }

    #[test]
    fn ordinals_start_where_the_statefulset_says() {
        let pod = recorded(include_str!(
            "../../tests/reviews/statefulset-db-2-5-ordinals-start-5-affinity.json"
        ));
        let spec = json!({ "ordinals": { "start": 5 }, "serviceName": "db" });
        let mut set = owner(&pod, &STATEFULSET, &[], &["hostname", "subdomain"], &spec);
        set["status"] = json!({ "updateRevision": pod["metadata"]["labels"]["controller-revision-hash"] });
        assert_eq!(Workload::new(&set).unwrap().pod(0), pod);
    }

    #[test]
    fn a_claim_becomes_a_volume_of_each_replica() {
        let set = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "db" },
            "spec": {
                "volumeClaimTemplates": [{ "metadata": { "name": "data" } }],
                "template": { "spec": { "volumes": [{ "name": "data", "emptyDir": {} }, { "name": "tmp", "emptyDir": {} }] } },
            },
        });
        let pod = Workload::new(&set).unwrap().pod(1);
        assert_eq!(
            pod["spec"]["volumes"],
            json!([
                { "name": "data", "persistentVolumeClaim": { "claimName": "data-db-1" } },
                { "name": "tmp", "emptyDir": {} },
            ])
        );
    }

    #[test]
    fn a_pod_of_an_indexed_job_is_as_it_was_recorded() {
        let pod = recorded(include_str!("../../tests/reviews/indexed-job-1.json"));
        let spec = json!({ "completionMode": "Indexed", "completions": 3, "parallelism": 1 });
        let mut job = owner(&pod, &[COMPLETION_INDEX], &[COMPLETION_INDEX], &["hostname"], &spec);
        let container = &mut job["spec"]["template"]["spec"]["containers"][0];
        container.as_object_mut().unwrap().remove("env");
        let job = Workload::new(&job).unwrap();
        assert_eq!(job.replicas(), 3);
        assert_eq!(job.pod(1), pod);
    }

    #[test]
    fn a_pod_of_a_replica_set_is_as_it_was_recorded() {
        let pod = recorded(include_str!("../../tests/reviews/deployment-generate-name.json"));
        let set = owner(&pod, &[], &[], &[], &json!({}));
        let set = Workload::new(&set).unwrap();
        assert_eq!(set.pod(0), pod);
        assert_eq!(set.pods(2).count(), 2);
    }

    #[test]
    fn a_deployment_and_a_cron_job_own_their_pods_through_another() {
        let template = json!({ "metadata": { "labels": { "app": "a" } }, "spec": {} });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "a" }, "spec": { "template": template },
        });
        let pod = Workload::new(&deployment).unwrap().pod(0);
        let owner = &pod["metadata"]["ownerReferences"][0];
        assert_eq!(
            (&owner["kind"], &owner["apiVersion"]),
            (&json!("ReplicaSet"), &json!("apps/v1"))
        );
        let cron = json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "c" },
            "spec": { "jobTemplate": { "spec": { "completionMode": "Indexed", "template": template } } },
        });
        let pod = Workload::new(&cron).unwrap().pod(2);
        assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "Job");
        assert_eq!(pod["metadata"]["labels"][COMPLETION_INDEX], "2");
    }

    #[test]
    fn what_is_no_workload_is_said() {
        let service = json!({ "kind": "Service" });
        let error = Workload::new(&service).unwrap_err().to_string();
        assert!(error.starts_with("what Pods a Service makes is not known"), "{error}");
        let empty = json!({ "kind": "StatefulSet", "spec": {} });
        let error = Workload::new(&empty).unwrap_err().to_string();
        assert_eq!(error, "the workload has no Pod template");
    }
}
