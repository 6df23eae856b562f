//! `etcd://user:password@host:port,host:port/prefix`: etcd; without a prefix Kitex's.

use registry_core::{Error, HandleOptions};
use registry_etcd::Options;

use crate::connector::{Backend, Opening};
use crate::settings::Settings;
use crate::url::refused;

pub(crate) const BACKEND: Backend = Backend { scheme: "etcd", options: &[], open };

fn open(settings: Settings) -> Opening {
    Box::pin(async move { registry_etcd::connect(options(&settings)?).await })
}

fn options(settings: &Settings) -> Result<Options, Error> {
    let hosts = settings.url().hosts();
    if hosts.is_empty() {
        return Err(refused("host", "is missing: at least one, as in `etcd://127.0.0.1:2379`"));
    }
    let options = Options::new(hosts.iter().map(ToString::to_string))
        .with_handle(settings.handle_options(HandleOptions::default())?);
    // The slash after the hosts is no part of the prefix: keys begin without one.
    let mut options = match settings.url().path().strip_prefix('/').unwrap_or_default() {
        "" => options,
        prefix => options.with_prefix(prefix),
    };
    options.user = settings.text("user").map(str::to_owned);
    options.password = settings.material("password").cloned();
    options.tls = settings.tls()?;
    Ok(options)
}

#[cfg(test)]
mod tests {
    use registry_core::Material;

    use super::*;
    use crate::url::Url;

    fn parse(url: &str) -> Result<Options, Error> {
        options(&Settings::new(Url::parse(url)?, BACKEND.options)?)
    }

    #[test]
    fn every_option_has_its_key() {
        let url =
            "etcd://me:p%40ss@h1:2379,[::1]:12379/a/b?ttl=10s&ca=CA&cert_file=/c&key_file=/k&server_name=n&lazy=true";
        let options = parse(url).unwrap();
        assert_eq!(options.endpoints, ["h1:2379", "[::1]:12379"]);
        assert_eq!((options.prefix.as_str(), options.user.as_deref()), ("a/b", Some("me")));
        assert_eq!(options.password.unwrap().read().unwrap().expose(), "p@ss");
        let tls = options.tls.unwrap();
        assert_eq!((tls.certificate, tls.key), (Some(Material::File("/c".into())), Some(Material::File("/k".into()))));
        assert_eq!((tls.ca.is_some(), tls.server_name.as_deref()), (true, Some("n")));
        assert_eq!((options.handle.ttl.as_secs(), options.handle.lazy), (10, true));
    }

    #[test]
    fn without_a_path_the_prefix_is_that_of_kitex() {
        for url in ["etcd://h", "etcd://h/"] {
            assert_eq!(parse(url).unwrap().prefix, "kitex/registry-etcd");
        }
    }

    #[test]
    fn tls_is_chosen_by_its_keys_and_never_left_out_by_mistake() {
        assert!(parse("etcd://h").unwrap().tls.is_none());
        assert!(parse("etcd://h?tls=true").unwrap().tls.is_some());
        assert!(parse("etcd://h?server_name=n").unwrap().tls.is_some());
        let error = parse("etcd://h?tls=false&ca_file=/ca").unwrap_err();
        assert_eq!(error.invalid_field().unwrap().field(), "tls");
    }

    #[test]
    fn a_url_without_a_host_is_refused() {
        assert_eq!(parse("etcd:///prefix").unwrap_err().invalid_field().unwrap().field(), "host");
    }
}
