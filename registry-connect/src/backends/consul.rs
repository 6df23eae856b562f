//! `consul://host:port/base`: the Consul agent of this machine; a base path where a proxy adds one.

use registry_consul::{AgentCheck, Check, Consistency, Options};
use registry_core::{Error, HandleOptions};

use crate::connector::{Backend, Opening};
use crate::settings::Settings;
use crate::url::refused;

pub(crate) const BACKEND: Backend = Backend { scheme: "consul", options: &[], open };

fn open(settings: Settings) -> Opening {
    Box::pin(async move { registry_consul::connect(options(&settings)?).await })
}

fn options(settings: &Settings) -> Result<Options, Error> {
    let tls = settings.tls()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let host = match settings.url().hosts() {
        [host] => host,
        [] => return Err(refused("host", "is missing: the agent of this machine is `consul://127.0.0.1:8500`")),
        _ => return Err(refused("host", "is more than one: registrations belong to one agent, that of this machine")),
    };
    let mut options = Options::new(format!("{scheme}://{host}{}", settings.url().path()));
    options.handle = settings.handle_options(HandleOptions::with_ttl(registry_consul::DEFAULT_TTL))?;
    options.token = settings.material("token").cloned();
    options.tls = tls;
    options.datacenter = settings.text("dc").map(str::to_owned);
    options.consistency = consistency(settings)?;
    options.wait = settings.duration("wait").unwrap_or(options.wait);
    options.check = check(settings)?;
    options.deregister_after = settings.duration("deregister_after").unwrap_or(options.deregister_after);
    Ok(options)
}

fn consistency(settings: &Settings) -> Result<Consistency, Error> {
    match settings.text("consistency") {
        None | Some("consistent") => Ok(Consistency::Consistent),
        Some("leader") => Ok(Consistency::Leader),
        Some("stale") => Ok(Consistency::Stale),
        Some(_) => Err(refused("consistency", "is none of `consistent`, `leader` and `stale`")),
    }
}

fn check(settings: &Settings) -> Result<Check, Error> {
    let timing = AgentCheck {
        interval: settings.duration("check_interval").unwrap_or(AgentCheck::default().interval),
        timeout: settings.duration("check_timeout").unwrap_or(AgentCheck::default().timeout),
    };
    let (kind, target) = match settings.text("check") {
        None => ("ttl", None),
        Some(text) => text.split_once(':').map_or((text, None), |(kind, target)| (kind, Some(target))),
    };
    let check = match (kind, target) {
        ("ttl", None) => Check::Ttl,
        ("none", None) => Check::None,
        ("tcp", None) => Check::Tcp(timing),
        ("http", Some(path)) => Check::Http { path: path.to_owned(), timing },
        ("grpc", service) => Check::Grpc { service: service.unwrap_or_default().to_owned(), timing },
        _ => {
            let offence = "is none of `ttl`, `tcp`, `http:/path`, `grpc`, `grpc:service` and `none`";
            return Err(refused("check", offence));
        }
    };
    let asked = matches!(check, Check::Ttl | Check::None)
        .then(|| ["check_interval", "check_timeout"].into_iter().find(|key| settings.duration(key).is_some()));
    match asked.flatten() {
        Some(key) => Err(refused(key, "is given, but `check` names none that the agent runs")),
        None => Ok(check),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use registry_core::Material;

    use super::*;
    use crate::url::Url;

    fn parse(url: &str) -> Result<Options, Error> {
        options(&Settings::new(Url::parse(url)?, BACKEND.options)?)
    }

    fn refusal(url: &str) -> &'static str {
        parse(url).unwrap_err().invalid_field().unwrap().field()
    }

    #[test]
    fn every_option_has_its_key() {
        let url = "consul://[::1]:8501/base?token=t&ca=CA&cert_file=/c&key_file=/k&server_name=n&dc=dc2&consistency=stale&wait=5s\
                   &check=http:/healthz&check_interval=1s&check_timeout=2s&deregister_after=2m&ttl=10s&lazy=true";
        let options = parse(url).unwrap();
        assert_eq!(options.address, "https://[::1]:8501/base");
        assert_eq!(options.token.as_ref().unwrap().read().unwrap().expose(), "t");
        let tls = options.tls.as_ref().unwrap();
        assert_eq!(
            (&tls.certificate, &tls.key),
            (&Some(Material::File("/c".into())), &Some(Material::File("/k".into())))
        );
        assert_eq!(tls.server_name.as_deref(), Some("n"));
        assert_eq!((options.datacenter.as_deref(), options.consistency), (Some("dc2"), Consistency::Stale));
        let seconds = Duration::from_secs;
        let timing = AgentCheck { interval: seconds(1), timeout: seconds(2) };
        assert_eq!(options.check, Check::Http { path: "/healthz".into(), timing });
        assert_eq!((options.wait, options.deregister_after), (seconds(5), seconds(120)));
        assert_eq!((options.handle.ttl, options.handle.lazy), (seconds(10), true));
        assert!(options.client().is_ok());
    }

    #[test]
    fn without_keys_it_is_plaintext_and_a_ttl_of_30_s() {
        let options = parse("consul://h").unwrap();
        assert!(options.tls.is_none() && options.address.starts_with("http://h"), "{}", options.address);
        assert_eq!((options.check, options.handle.ttl.as_secs()), (Check::Ttl, 30));
    }

    #[test]
    fn each_kind_of_check_has_its_word() {
        let check = |word: &str| parse(&format!("consul://h?check={word}")).map(|options| options.check);
        let timing = AgentCheck::default();
        assert_eq!(check("ttl").unwrap(), Check::Ttl);
        assert_eq!(check("none").unwrap(), Check::None);
        assert_eq!(check("tcp").unwrap(), Check::Tcp(timing));
        assert_eq!(check("grpc").unwrap(), Check::Grpc { service: String::new(), timing });
        assert_eq!(check("grpc:demo").unwrap(), Check::Grpc { service: "demo".into(), timing });
        for word in ["http", "tcp:80", "ttl:1", "ping"] {
            assert_eq!(check(word).unwrap_err().invalid_field().unwrap().field(), "check", "{word}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_key() {
        assert_eq!(refusal("consul:///base"), "host");
        assert_eq!(refusal("consul://a,b"), "host");
        assert_eq!(refusal("consul://user@h"), "user");
        assert_eq!(refusal("consul://h?tls=false&ca=CA"), "tls");
        assert_eq!(refusal("consul://h?consistency=strong"), "consistency");
        assert_eq!(refusal("consul://h?check_interval=1s"), "check_interval");
    }
}
