//! URLs of brokers.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// A broker's URL, taken apart: `scheme://user:password@host:port,host:port/path?name=value`.
///
/// Several hosts stand for the nodes of one cluster. `Display` and `Debug` leave the password out.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerUrl {
    /// What is before `://`, in lower case.
    pub scheme: String,
    /// The user, percent-decoded.
    pub username: Option<String>,
    /// The password, percent-decoded.
    pub password: Option<Secret>,
    /// Hosts with their ports; an IPv6 address without its brackets.
    pub hosts: Vec<(String, Option<u16>)>,
    /// The path without its first `/`, percent-decoded; `None` if there is no `/`.
    pub path: Option<String>,
    /// The query's names and values in order, percent-decoded.
    pub query: Vec<(String, String)>,
}

impl FromStr for BrokerUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self> {
        // No part of the URL goes into an error's text: it may be the password.
        let (scheme, rest) = url.split_once("://").ok_or_else(|| {
            invalid("no scheme; a broker's URL looks like amqp://user:password@host/vhost or memory://")
        })?;
        if scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) {
            return Err(invalid("the scheme has characters other than letters, digits, '+', '-' and '.'"));
        }
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
        if rest.contains('#') || query.contains('#') {
            return Err(invalid("a '#' has no meaning here; write it as %23"));
        }
        let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
        // An '@' further back is most likely the end of a password with a '/' or '?' in it, which must not be taken for a
        // path or parameter: those are shown.
        if query.contains('@') || path.is_some_and(|path| path.contains('@')) {
            return Err(invalid(
                "an '@' after the first '/' or '?'; in a password '/' is written %2F and '?' %3F, elsewhere '@' is %40",
            ));
        }
        let path = path.map(decode).transpose()?;
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        if user_info.is_some_and(|info| info.contains('@')) {
            return Err(invalid(
                "an '@' in the user or password, which is written %40; the user stands once, before all hosts",
            ));
        }
        let (username, password) = match user_info.map(|info| info.split_once(':').unwrap_or((info, ""))) {
            None => (None, None),
            Some((user, "")) => (Some(decode(user)?), None),
            Some((user, password)) => (Some(decode(user)?), Some(Secret::new(decode(password)?))),
        };
        let hosts = hosts.split(',').filter(|host| !host.is_empty()).map(parse_host).collect::<Result<_>>()?;
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name)?, decode(value)?))
            })
            .collect::<Result<_>>()?;
        Ok(Self { scheme: scheme.to_ascii_lowercase(), username, password, hosts, path, query })
    }
}

impl BrokerUrl {
    /// Fails for a parameter of the query that is not among these.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), with the known names.
    pub fn check_query(&self, known: &[&str]) -> Result<()> {
        match self.query.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                Err(invalid(format!("unknown parameter {name:?} in the URL; known are: {}", known.join(", "))))
            }
        }
    }

    /// The value of a parameter of the query; the last one counts.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message).with_operation("parse URL")
}

fn decode(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| invalid("a percent-encoded part is not UTF-8"))
}

fn parse_host(host: &str) -> Result<(String, Option<u16>)> {
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or_else(|| invalid("an IPv6 address lacks its ']'"))?;
        address.parse::<Ipv6Addr>().map_err(|e| invalid("the IPv6 address in brackets is malformed").with_source(e))?;
        let port = match port {
            "" => None,
            port => {
                Some(port.strip_prefix(':').ok_or_else(|| invalid("after ']' only a port such as :5672 may follow"))?)
            }
        };
        (address.to_owned(), port)
    } else {
        match host.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(invalid("an IPv6 address must stand in brackets, such as [::1]"));
            }
            Some((name, port)) => (decode(name)?, Some(port)),
            None => (decode(host)?, None),
        }
    };
    if name.is_empty() {
        return Err(invalid("a port without a host"));
    }
    let port = port.map(|port| match port.parse() {
        Ok(0) | Err(_) => Err(invalid(
            "a port must be a number from 1 to 65535; a '/', ':' or '@' in a password is written %2F, %3A, %40",
        )),
        Ok(port) => Ok(port),
    });
    Ok((name, port.transpose()?))
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.username {
            write!(f, "{user}@")?;
        }
        for (i, (host, port)) in self.hosts.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            if host.contains(':') {
                write!(f, "{comma}[{host}]")?;
            } else {
                write!(f, "{comma}{host}")?;
            }
            if let Some(port) = port {
                write!(f, ":{port}")?;
            }
        }
        self.path.as_ref().map_or(Ok(()), |path| write!(f, "/{path}"))
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> BrokerUrl {
        url.parse().expect(url)
    }

    #[test]
    fn all_parts() {
        let url = parse("AMQPS://us%40er:p%2Fw:x@h1:5671,[fd00::1],h2/v%2Fhost?a=1&b=x%20y&a=2");
        assert_eq!(url.scheme, "amqps");
        assert_eq!(url.username.as_deref(), Some("us@er"));
        assert_eq!(url.password.as_ref().map(Secret::expose), Some("p/w:x"));
        let hosts = [("h1".to_owned(), Some(5671)), ("fd00::1".to_owned(), None), ("h2".to_owned(), None)];
        assert_eq!(url.hosts, hosts);
        assert_eq!(url.path.as_deref(), Some("v/host"));
        assert_eq!(url.parameter("a"), Some("2"));
        assert_eq!(url.parameter("b"), Some("x y"));
    }

    #[test]
    fn an_absent_path_differs_from_an_empty_one() {
        assert_eq!(parse("amqp://h").path, None);
        assert_eq!(parse("amqp://h/").path.as_deref(), Some(""));
        assert_eq!(parse("memory://").hosts, []);
    }

    #[test]
    fn the_password_is_never_shown() {
        let url = parse("amqp://guest:hunter2@[::1]:5672/");
        for text in [url.to_string(), format!("{url:?}"), format!("{:?}", url.password)] {
            assert!(!text.contains("hunter2"), "{text}");
        }
        for bad in [
            "amqp:guest:hunter2@h",
            "amqp://guest:hunter2@h:port/",
            "amqp://guest:hunter2@[h/",
            "a b://hunter2",
            "amqp://u:hunter2@h1,u:hunter2@h2/",
            // What is before the '/' or '?' is a host with a port; the rest would be a path or a parameter.
            "amqp://guest:12/hunter2@h/vhost",
            "amqp://guest:12?hunter2@h/vhost",
            "amqp://guest:12/x?hunter2@h/vhost",
            "amqp://guest:p@12/hunter2@h/vhost",
        ] {
            let error = bad.parse::<BrokerUrl>().expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn unknown_parameters_are_named() {
        let error = parse("amqp://h?heartbaet=3").check_query(&["heartbeat"]).expect_err("a typo");
        assert!(error.to_string().contains("heartbaet"), "{error}");
    }
}
