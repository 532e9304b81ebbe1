//! The nodes of clusters on this machine, and the commands that run containerd's client in each of them.
//!
//! kind and k3d run each node as a container of docker or podman, and name its cluster in a label.
//! minikube tells itself which nodes there are.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde_json::Value;

use crate::error::Error;
use crate::program::{Failure, Program};
use crate::timeouts::Timeouts;

/// containerd's namespace in which Kubernetes looks for images.
const NAMESPACE: [&str; 2] = ["--namespace", "k8s.io"];

/// A node whose containerd is reached by a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterNode {
    pub(crate) name: String,
    /// What stands before the arguments of `ctr`.
    pub(crate) command: Vec<String>,
}

/// What clusters are found by.
#[derive(Clone, Copy)]
pub(crate) struct Clusters<'a> {
    pub(crate) environment: &'a dyn Fn(&str) -> Option<OsString>,
    pub(crate) timeouts: Timeouts,
}

/// A cluster that minikube made.
pub(crate) enum Minikube {
    /// Its nodes run containerd.
    Containerd(Vec<ClusterNode>),
    /// It runs Docker, which these variables name.
    Docker(BTreeMap<String, OsString>),
}

impl Clusters<'_> {
    /// The nodes of a cluster that kind made, `kind` if none is named.
    pub(crate) fn kind(self, cluster: Option<&str>) -> Result<Vec<ClusterNode>, Error> {
        let default = self.variable("KIND_CLUSTER_NAME");
        let cluster = cluster.or(default.as_deref()).unwrap_or("kind");
        let provider = self.variable("KIND_EXPERIMENTAL_PROVIDER");
        let known = ["docker", "podman", "nerdctl", "finch", "nerdctl.lima"];
        let providers = match known
            .iter()
            .find(|name| Some(**name) == provider.as_deref())
        {
            Some(name) => std::slice::from_ref(name),
            // In kind's own order.
            None => &["docker", "nerdctl", "podman"],
        };
        let label = format!("label=io.x-k8s.kind.cluster={cluster}");
        let (provider, mut names) = self.containers(
            &format!("kind's cluster {cluster}"),
            "`kind get clusters` lists what there is, KIND_EXPERIMENTAL_PROVIDER names podman",
            providers,
            &[&[&label]],
        )?;
        // It balances the load of several control planes, and runs no containers.
        names.retain(|name| !name.ends_with("-external-load-balancer"));
        let nodes = names.into_iter().map(|name| {
            let snapshotter = self.snapshotter_of_kind(provider, &name);
            node(provider, name, snapshotter.as_deref())
        });
        Ok(nodes.collect())
    }

    /// The nodes of a cluster that k3d made, `k3s-default` if none is named.
    pub(crate) fn k3d(self, cluster: Option<&str>) -> Result<Vec<ClusterNode>, Error> {
        let cluster = cluster.unwrap_or("k3s-default");
        let label = format!("label=k3d.cluster={cluster}");
        let (provider, names) = self.containers(
            &format!("k3d's cluster {cluster}"),
            "`k3d cluster list` lists what there is",
            &["docker", "podman"],
            &[
                &[&label, "label=k3d.role=server"],
                &[&label, "label=k3d.role=agent"],
            ],
        )?;
        let nodes = names.into_iter();
        Ok(nodes.map(|name| node(provider, name, None)).collect())
    }

    /// The k3s of this machine.
    pub(crate) fn k3s() -> ClusterNode {
        ClusterNode {
            name: "k3s".to_owned(),
            command: words(&["k3s", "ctr"], &NAMESPACE),
        }
    }

    /// The cluster of a profile of minikube, the current one if none is named.
    pub(crate) fn minikube(self, profile: Option<&str>) -> Result<Minikube, Error> {
        let list = ["profile", "list", "--light", "--output", "json"];
        let text = self.ask(&Program::new(["minikube"]), &list)?;
        let variable = self.variable("MINIKUBE_PROFILE");
        let profile = profile.or(variable.as_deref());
        let found = serde_json::from_str(&text).ok();
        let found = found.and_then(|answer| Profile::find(&answer, profile));
        let cluster = match profile {
            Some(profile) => format!("minikube's profile {profile}"),
            None => "minikube's current profile".to_owned(),
        };
        let Some(found) = found else {
            return Err(Error::NoNodes {
                cluster,
                command: format!("minikube {}", list.join(" ")),
                advice: "`minikube start` makes a cluster",
            });
        };
        match &*found.runtime {
            "containerd" => Ok(Minikube::Containerd(found.nodes())),
            "docker" => {
                let minikube = Program::new(["minikube", "--profile", &found.name]);
                let words = ["docker-env", "--shell", "none", "--output", "json"];
                let answer = self.ask(&minikube, &words)?;
                let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
                let variables = answer.as_object().into_iter().flatten();
                let variables = variables
                    .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.into())));
                Ok(Minikube::Docker(variables.collect()))
            }
            runtime => Err(Error::Runtime {
                cluster,
                runtime: runtime.to_owned(),
            }),
        }
    }

    /// Names of containers that have labels, in the order of these and by name; and the program that
    /// lists them, the first one that lists any.
    fn containers<'p>(
        self,
        cluster: &str,
        advice: &'static str,
        providers: &[&'p str],
        filters: &[&[&str]],
    ) -> Result<(&'p str, Vec<String>), Error> {
        let mut failed = None;
        for provider in providers {
            match self.list(provider, filters) {
                Ok(names) if !names.is_empty() => return Ok((*provider, names)),
                Ok(_) => {
                    let labels = filters.iter().flat_map(|labels| labels.first());
                    let label = labels.copied().next().unwrap_or_default();
                    // The first one that answers says most, then the first one that does not.
                    if !matches!(failed, Some(Error::NoNodes { .. })) {
                        failed = Some(Error::NoNodes {
                            cluster: cluster.to_owned(),
                            command: format!("{provider} ps --all --filter {label}"),
                            advice,
                        });
                    }
                }
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        Err(failed.unwrap_or_else(|| Error::NoNodes {
            cluster: cluster.to_owned(),
            command: String::new(),
            advice,
        }))
    }

    fn list(self, provider: &str, filters: &[&[&str]]) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        let program = Program::new([provider]);
        for labels in filters {
            let mut words = vec!["ps", "--all"];
            for label in *labels {
                words.extend(["--filter", label]);
            }
            words.extend(["--format", "{{.Names}}"]);
            let text = self.ask(&program, &words)?;
            let mut found: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
            found.sort();
            names.append(&mut found);
        }
        Ok(names)
    }

    /// The snapshotter that Kubernetes uses in a node of kind, if it is not the one that `ctr` uses:
    /// kind chooses it by the file system below.
    fn snapshotter_of_kind(self, provider: &str, name: &str) -> Option<String> {
        let node = Program::new([provider, "exec", name]);
        let within = self.timeouts.named;
        let config = node.run(&["containerd", "config", "dump"], within).ok()?;
        snapshotter(&config).filter(|name| name != "overlayfs")
    }

    /// What a program prints.
    fn ask(self, program: &Program, words: &[&str]) -> Result<String, Error> {
        let within = self.timeouts.named;
        let printed = program.run(words, within);
        printed.map_err(|failure| Error::Listing {
            command: format!("{program} {}", words.join(" ")),
            why: match failure {
                Failure::NotRun(error) => {
                    format!("cannot run {}: {error}", program.name().to_string_lossy())
                }
                Failure::Pipe(error) => error.to_string(),
                Failure::Silent => format!("no answer within {within:?}"),
                Failure::Failed(told) => {
                    let last = told.lines().rfind(|line| !line.trim().is_empty());
                    last.unwrap_or("it says nothing").trim().to_owned()
                }
            },
        })
    }

    fn variable(self, name: &str) -> Option<String> {
        let text = (self.environment)(name)?.into_string().ok()?;
        Some(text).filter(|text| !text.is_empty())
    }
}

/// A node that is a container.
fn node(provider: &str, name: String, snapshotter: Option<&str>) -> ClusterNode {
    let variable = snapshotter.map(|name| format!("CONTAINERD_SNAPSHOTTER={name}"));
    let mut command = words(&[provider, "exec", "-i"], &[]);
    if let Some(variable) = variable {
        command.extend(words(&["-e", &variable], &[]));
    }
    command.extend(words(&[&name, "ctr"], &NAMESPACE));
    ClusterNode { name, command }
}

fn words(first: &[&str], then: &[&str]) -> Vec<String> {
    let words = first.iter().chain(then);
    words.map(|word| (*word).to_owned()).collect()
}

/// The snapshotter of Kubernetes' side of containerd, in what `containerd config dump` prints.
fn snapshotter(config: &str) -> Option<String> {
    let mut is_in_section = false;
    for line in config.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            // Of the versions 2 and 3 of the configuration.
            is_in_section = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"]
                .iter()
                .any(|name| section.contains(name));
        } else if is_in_section
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "snapshotter"
        {
            let name = value.trim().trim_matches(['"', '\'']);
            return Some(name.to_owned()).filter(|name| !name.is_empty());
        }
    }
    None
}

/// What minikube tells of a profile.
struct Profile {
    name: String,
    runtime: String,
    /// Names of the nodes below that of the profile.
    nodes: Vec<String>,
}

impl Profile {
    /// The profile of this name, or the current one, in the answer of `minikube profile list`.
    fn find(answer: &Value, name: Option<&str>) -> Option<Self> {
        let text = |value: &Value, name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let is_active = |profile: &Value| profile.get("Active").and_then(Value::as_bool);
        let profiles = answer.get("valid")?.as_array()?;
        let is_meant = |profile: &&Value| match name {
            Some(name) => text(profile, "Name").as_deref() == Some(name),
            None => is_active(profile) == Some(true) || profiles.len() == 1,
        };
        let profile = profiles.iter().find(is_meant)?;
        let config = profile.get("Config")?;
        let nodes = config.get("Nodes")?.as_array()?.iter();
        Some(Self {
            name: text(profile, "Name")?,
            runtime: text(config.get("KubernetesConfig")?, "ContainerRuntime")?,
            nodes: nodes
                .map(|node| text(node, "Name"))
                .collect::<Option<_>>()?,
        })
    }

    fn nodes(&self) -> Vec<ClusterNode> {
        let nodes = self.nodes.iter().enumerate();
        let nodes = nodes.map(|(index, name)| {
            // Its own client of ssh asks for a terminal, which changes bytes.
            let ssh = ["ssh", "--native-ssh=false"];
            let mut command = words(&["minikube", "--profile", &self.name], &ssh);
            // The first one has the profile's own name.
            if index > 0 {
                command.extend(words(&["--node", name], &[]));
            }
            command.extend(words(&["--", "sudo", "ctr"], &NAMESPACE));
            ClusterNode {
                name: match index {
                    0 => self.name.clone(),
                    _ => format!("{}-{name}", self.name),
                },
                command,
            }
        });
        nodes.collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_snapshotter_of_kubernetes_is_read() {
        let old = "version = 2\n[plugins.\"io.containerd.snapshotter.v1.zfs\"]\n  snapshotter = \"x\"\n\
                   [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  a = 1\n  snapshotter = \"native\"\n";
        assert_eq!(snapshotter(old).as_deref(), Some("native"));
        let new = "version = 3\n[plugins.'io.containerd.cri.v1.images']\n  snapshotter = 'fuse-overlayfs'\n";
        assert_eq!(snapshotter(new).as_deref(), Some("fuse-overlayfs"));
        for text in [
            "",
            "snapshotter = 'a'",
            "[plugins.'io.containerd.cri.v1.images']\nsnapshotter = ''",
        ] {
            assert_eq!(snapshotter(text), None);
        }
    }

    #[test]
    fn nodes_of_minikube_are_reached_by_its_ssh() {
        let profile = |name: &str, nodes: &[&str], active: bool| {
            let nodes: Vec<_> = nodes.iter().map(|name| json!({"Name": name})).collect();
            let config =
                json!({"KubernetesConfig": {"ContainerRuntime": "containerd"}, "Nodes": nodes});
            json!({"Name": name, "Active": active, "Config": config})
        };
        let answer =
            json!({"valid": [profile("a", &[""], false), profile("b", &["", "m02"], true)]});
        let nodes = |name| Profile::find(&answer, name).unwrap().nodes();
        assert_eq!(nodes(Some("a")).len(), 1);
        let current = nodes(None);
        let names: Vec<_> = current.iter().map(|node| &*node.name).collect();
        assert_eq!(names, ["b", "b-m02"]);
        let command =
            "minikube --profile b ssh --native-ssh=false --node m02 -- sudo ctr --namespace k8s.io";
        assert_eq!(current[1].command.join(" "), command);
        assert!(Profile::find(&answer, Some("c")).is_none());
        assert!(Profile::find(&json!({}), None).is_none());
    }

    #[test]
    fn a_node_is_reached_by_the_client_of_its_engine() {
        let node = node("podman", "kind-worker".to_owned(), Some("native"));
        let command =
            "podman exec -i -e CONTAINERD_SNAPSHOTTER=native kind-worker ctr --namespace k8s.io";
        assert_eq!(node.command.join(" "), command);
    }
}
