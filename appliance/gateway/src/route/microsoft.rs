//! The front ends of Microsoft 365, which all tenants of a cloud share.

use config_schema::name::DomainName;

/// Worldwide by tenant, worldwide with DNSSEC, US government, 21Vianet.
const SUFFIXES: [&str; 4] = [
    ".mail.protection.outlook.com",
    ".mx.microsoft",
    ".mail.protection.office365.us",
    ".mail.protection.partner.outlook.cn",
];

/// Whether `host` is a route host of Microsoft 365: its limits count over all of them together.
pub fn is_microsoft(host: &DomainName) -> bool {
    SUFFIXES.iter().any(|suffix| host.as_str().ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_hosts_are_known_by_their_suffix() {
        for (host, known) in [
            ("contoso-com.mail.protection.outlook.com", true),
            ("contoso-com.h-v1.mx.microsoft", true),
            ("mail.protection.outlook.com.example", false),
            ("evilmx.microsoft", false),
        ] {
            assert_eq!(is_microsoft(&DomainName::parse(host).unwrap()), known, "{host}");
        }
    }
}
