//! How to reach the API server: `--apiserver-override`, a pod's service account, a kubeconfig.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::vec::IntoIter;

use anyhow::{Context, anyhow, bail, ensure};
use hyper::Uri;
use hyper::header::{HeaderValue, USER_AGENT};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt as _;
use kube::config::{Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tower::{BoxError, Service, ServiceBuilder, service_fn};
use tracing::warn;

use crate::go::boolean::parse_bool;
use crate::threads::ThreadPool;

/// The folder with a pod's token and certificate authority.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How many lookups of host names may hang.
const LOOKUPS: usize = 4;

/// The address of the API server and our credentials. Files are read again for each client, so rotated
/// tokens, certificates and kubeconfigs work.
#[derive(Clone, Debug)]
pub(super) struct Access {
    wanted: Override,
    /// `https://` and the address that the pod was given.
    in_cluster: Option<String>,
    service_account: PathBuf,
    /// For looking up host names.
    threads: ThreadPool,
}

/// `--apiserver-override`, as NPD reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Override {
    /// Scheme and host; a path is ignored.
    server: Option<String>,
    /// Whether to use a pod's address and credentials.
    in_cluster: bool,
    /// Whether to skip the verification of the server's certificate.
    insecure: bool,
    /// The path of a kubeconfig, which also names the server; only without `in_cluster`.
    auth: Option<PathBuf>,
    /// Whether to use the pod's token if there is one.
    use_service_account: bool,
}

impl Access {
    /// Parses the flag and the environment. Reads no files.
    pub(super) fn new(flag: &str, var: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let wanted: Override = flag
            .parse()
            .with_context(|| format!("--apiserver-override={flag}"))?;
        let host = var("KUBERNETES_SERVICE_HOST").filter(|host| !host.is_empty());
        let port = var("KUBERNETES_SERVICE_PORT").filter(|port| !port.is_empty());
        let in_cluster = host.zip(port).map(|(host, port)| {
            let host = if host.contains(':') {
                format!("[{host}]")
            } else {
                host
            };
            format!("https://{host}:{port}")
        });
        Ok(Self {
            wanted,
            in_cluster,
            service_account: PathBuf::from(SERVICE_ACCOUNT),
            threads: ThreadPool::new("resolver", LOOKUPS),
        })
    }

    /// Reads and checks the files, without connecting.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.prepare().map(drop)
    }

    /// A client that has not connected yet. Needs a runtime.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        self.prepare().map(|build| build())
    }

    /// All but the last step, which needs a runtime.
    ///
    /// kube's own stack is not used: it leaves Nagle's algorithm on, which costs each new connection 40 ms,
    /// and it retries requests. Retries, their pauses and their metrics are in `api` and `backoff`.
    fn prepare(&self) -> anyhow::Result<impl FnOnce() -> Client + use<>> {
        let mut config = self.config()?;
        ensure!(
            config.proxy_url.is_none(),
            "a proxy on the way to the API server is not supported (proxy-url, HTTPS_PROXY)"
        );
        let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        config
            .headers
            .push((USER_AGENT, HeaderValue::from_static(agent)));
        let mut tcp = HttpConnector::new_with_resolver(resolver(self.threads.clone()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let layers = || -> kube::Result<_> {
            Ok((
                config.rustls_https_connector_with_connector(tcp)?,
                config.auth_layer()?,
                config.extra_headers_layer()?,
            ))
        };
        let (connector, auth, headers) = layers().map_err(|error| {
            let server = &config.cluster_url;
            anyhow!("preparing to talk to the API server {server}: {error}")
        })?;
        let base = config.base_uri_layer();
        Ok(move || {
            let client = legacy::Client::builder(TokioExecutor::new()).build(connector);
            let service = ServiceBuilder::new()
                .layer(base)
                .option_layer(auth)
                .layer(headers)
                .map_err(BoxError::from)
                .service(client);
            Client::new(service, config.default_namespace)
        })
    }

    fn config(&self) -> anyhow::Result<Config> {
        let wanted = &self.wanted;
        let mut config = match &wanted.auth {
            _ if wanted.in_cluster => self.pod()?,
            Some(path) => kubeconfig(path)?,
            None => {
                let server = wanted.server.as_ref().context(
                    "--apiserver-override: with inClusterConfig=false a server or auth=KUBECONFIG \
                     must be given",
                )?;
                let mut config = Config::new(uri(server)?);
                config.accept_invalid_certs = wanted.insecure;
                if wanted.insecure {
                    config.root_cert = Some(Vec::new());
                }
                config
            }
        };
        let token = self.service_account.join("token");
        if wanted.use_service_account && std::fs::File::open(&token).is_ok() {
            config.auth_info.token = None;
            config.auth_info.token_file = Some(token.display().to_string());
        }
        Ok(config)
    }

    /// Like kube's `Config::incluster`, but the folder is a parameter for tests. Token and certificate
    /// authority are read again every minute.
    fn pod(&self) -> anyhow::Result<Config> {
        let Some(given) = &self.in_cluster else {
            bail!(
                "this is not a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; \
                 add ?inClusterConfig=false to --apiserver-override"
            );
        };
        let mut config = Config::new(uri(self.wanted.server.as_ref().unwrap_or(given))?);
        let token = self.service_account.join("token");
        std::fs::File::open(&token)
            .with_context(|| format!("reading the service account's token {}", token.display()))?;
        config.auth_info.token_file = Some(token.display().to_string());
        config.accept_invalid_certs = self.wanted.insecure;
        // `root_cert_file` replaces this empty list. Without the list, the image's certificates would be
        // loaded first, and a minimal image has none.
        config.root_cert = Some(Vec::new());
        if !self.wanted.insecure {
            config.root_cert_file = Some(self.service_account.join("ca.crt"));
        }
        Ok(config)
    }
}

fn kubeconfig(path: &Path) -> anyhow::Result<Config> {
    // The text of kube's errors contains the cause, so it must not be repeated as a source.
    Kubeconfig::read_from(path)
        .and_then(Config::try_from)
        .map_err(|error| match error {
            KubeconfigError::ReadConfig(error, _) => anyhow!(error),
            // The further lines of a YAML error show the place in the file.
            error => anyhow!("{}", error.to_string().lines().next().unwrap_or_default()),
        })
        .with_context(|| format!("reading the kubeconfig {}", path.display()))
}

/// Looks host names up on a thread of ours: hyper would take one of tokio's, which panics if the kernel
/// makes none.
fn resolver(
    threads: ThreadPool,
) -> impl Service<Name, Response = IntoIter<SocketAddr>, Error = io::Error, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    service_fn(move |name: Name| {
        let looking = threads
            .ready()
            .map(|threads| threads.run(move || (name.as_str(), 0).to_socket_addrs()));
        async move { looking?.await? }
    })
}

fn uri(server: &str) -> anyhow::Result<Uri> {
    server
        .parse()
        .with_context(|| format!("parsing the API server's address {server}"))
}

impl FromStr for Override {
    type Err = anyhow::Error;

    fn from_str(flag: &str) -> anyhow::Result<Self> {
        let (address, query) = flag.split_once('?').unwrap_or((flag, ""));
        let query = query.split('#').next().unwrap_or_default();
        // Go drops a parameter that it cannot read.
        let readable = query.split('&').filter(|pair| is_readable(pair));
        let query = readable.collect::<Vec<_>>().join("&");
        let mut wanted = Self {
            server: server(address)?,
            in_cluster: true,
            insecure: false,
            auth: None,
            use_service_account: false,
        };
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            // The first of a name counts, as in NPD.
            if seen.contains(&name) {
                continue;
            }
            let yes = || parse_bool(&value).with_context(|| format!("{name}={value}"));
            match &*name {
                "inClusterConfig" => wanted.in_cluster = yes()?,
                "insecure" => wanted.insecure = yes()?,
                "useServiceAccount" => wanted.use_service_account = yes()?,
                "auth" if value.is_empty() => {}
                "auth" => wanted.auth = Some(PathBuf::from(&*value)),
                _ => warn!(parameter = %name, "Unknown parameter of --apiserver-override"),
            }
            seen.push(name);
        }
        Ok(wanted)
    }
}

/// Whether Go reads this part of a query: it has no semicolon, and each `%` begins a byte.
fn is_readable(pair: &str) -> bool {
    let is_byte = |rest: &str| {
        let mut bytes = rest.bytes();
        bytes.len() >= 2 && bytes.by_ref().take(2).all(|b| b.is_ascii_hexdigit())
    };
    !pair.contains(';') && pair.split('%').skip(1).all(is_byte)
}

/// Scheme and host of a URL; `None` if it is empty.
fn server(address: &str) -> anyhow::Result<Option<String>> {
    if address.is_empty() {
        return Ok(None);
    }
    let Some((scheme, rest)) = address.split_once("://") else {
        bail!("the address has no scheme; write https://{address}");
    };
    let scheme = scheme.to_ascii_lowercase();
    ensure!(
        scheme == "https" || scheme == "http",
        "the scheme is {scheme}; it must be https or http"
    );
    let host = rest.split(['/', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    ensure!(!host.is_empty(), "the address names no host");
    let port = match host.rsplit_once(']') {
        Some((_, rest)) => rest.strip_prefix(':'),
        None => host.split_once(':').map(|(_, port)| port),
    };
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    ensure!(
        port.is_none_or(is_port),
        "the port of the address is not a number"
    );
    let server = format!("{scheme}://{host}");
    uri(&server)?;
    Ok(Some(server))
}

#[cfg(test)]
mod tests;
