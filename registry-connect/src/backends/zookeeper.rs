//! `zookeeper://user:password@host:port,host:port/chroot`: ZooKeeper.

use registry_core::Error;
use registry_zookeeper::Options;

use crate::connector::{Backend, Opening};
use crate::settings::Settings;
use crate::url::refused;

pub(crate) const BACKEND: Backend = Backend { scheme: "zookeeper", options: &[], open };

fn open(settings: Settings) -> Opening {
    Box::pin(async move { registry_zookeeper::connect(options(&settings)?).await })
}

/// What a `zookeeper://` URL says, as the backend's own options: for what is no operation of a handle, such as
/// [`Client::prune`](registry_zookeeper::Client::prune).
///
/// # Errors
/// `InvalidInput` on the part or key that cannot be.
pub fn options(settings: &Settings) -> Result<Options, Error> {
    let hosts: Vec<_> = settings.url().hosts().iter().map(ToString::to_string).collect();
    if hosts.is_empty() {
        return Err(refused("host", "is missing: at least one, as in `zookeeper://127.0.0.1:2181`"));
    }
    // A slash without a path is no chroot.
    let mut options = Options::new(hosts.join(",") + settings.url().path().trim_end_matches('/'));
    options.handle = settings.handle_options(options.handle)?;
    options.user = settings.text("user").map(str::to_owned);
    options.password = settings.material("password").cloned();
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::Url;

    fn parse(url: &str) -> Result<Options, Error> {
        options(&Settings::new(Url::parse(url)?, BACKEND.options)?)
    }

    #[test]
    fn every_option_has_its_key() {
        let options = parse("zookeeper://me:p%40ss@h1:2181,[::1]:12181/a/b?ttl=6s&lazy=true").unwrap();
        assert_eq!((options.hosts.as_str(), options.user.as_deref()), ("h1:2181,[::1]:12181/a/b", Some("me")));
        assert_eq!(options.password.unwrap().read().unwrap().expose(), "p@ss");
        assert_eq!((options.handle.ttl.as_secs(), options.handle.lazy), (6, true));
    }

    #[test]
    fn without_a_path_there_is_no_chroot() {
        for url in ["zookeeper://h", "zookeeper://h/"] {
            let options = parse(url).unwrap();
            assert_eq!((options.hosts.as_str(), options.handle.ttl.as_secs()), ("h", 10));
        }
    }

    #[test]
    fn a_url_without_a_host_is_refused() {
        assert_eq!(parse("zookeeper:///chroot").unwrap_err().invalid_field().unwrap().field(), "host");
    }

    #[test]
    fn keys_of_other_schemes_are_refused() {
        assert_eq!(parse("zookeeper://h?tls=true").unwrap_err().invalid_field().unwrap().field(), "query");
    }
}
