//! Tables of keys that each have a default and a range.

use toml_edit::Value;

use crate::{
    mistake::Notes,
    reader::Section,
    value::{ByteSize, Period},
};

/// A value that can be compared with the ends of its range.
pub(crate) trait Bounded: Copy + PartialOrd + std::fmt::Display {
    /// Reads the key if it is there; `None`, with a mistake noted, when it is out of range.
    fn read(
        section: &mut Section<'_>,
        key: &'static str,
        range: (Self, Self),
        notes: &mut Notes<'_>,
    ) -> Option<Self>;

    /// The value as it is written to a file.
    fn value(self) -> Value;
}

impl Bounded for u32 {
    fn read(
        section: &mut Section<'_>,
        key: &'static str,
        range: (u32, u32),
        notes: &mut Notes<'_>,
    ) -> Option<u32> {
        let number = section.number(key, u64::from(range.0)..=u64::from(range.1), notes);
        number.and_then(|number| u32::try_from(number).ok())
    }

    fn value(self) -> Value {
        i64::from(self).into()
    }
}

impl Bounded for ByteSize {
    fn read(
        section: &mut Section<'_>,
        key: &'static str,
        range: (ByteSize, ByteSize),
        notes: &mut Notes<'_>,
    ) -> Option<ByteSize> {
        with_unit(section, key, range, notes)
    }

    fn value(self) -> Value {
        self.to_string().into()
    }
}

impl Bounded for Period {
    fn read(
        section: &mut Section<'_>,
        key: &'static str,
        range: (Period, Period),
        notes: &mut Notes<'_>,
    ) -> Option<Period> {
        with_unit(section, key, range, notes)
    }

    fn value(self) -> Value {
        self.to_string().into()
    }
}

fn with_unit<T>(
    section: &mut Section<'_>,
    key: &'static str,
    (least, most): (T, T),
    notes: &mut Notes<'_>,
) -> Option<T>
where
    T: Bounded + std::str::FromStr<Err: std::fmt::Display>,
{
    let found = section.parsed::<T>(key, notes)?;
    if found.value < least || found.value > most {
        let text = format!("{}, expected from {least} to {most}", found.value);
        notes.note(found.place.span, &found.place.path, text);
        return None;
    }
    Some(found.value)
}

/// What is known of one key; the values as they are written in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) usual: fn() -> Value,
    pub(crate) least: fn() -> Value,
    pub(crate) most: fn() -> Value,
}

/// Makes a type out of a table of limits: each line is a field, its key in the file, its default and its range,
/// so that reading, writing and the default cannot disagree.
macro_rules! bounded {
    (
        $(#[$about:meta])*
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $key:literal, $usual:expr, $least:expr, $most:expr; )+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $usual, )+ }
            }
        }

        impl $name {
            /// Reads the keys of this table, and leaves further ones to the caller.
            pub(crate) fn read_keys(
                section: &mut $crate::reader::Section<'_>,
                notes: &mut $crate::mistake::Notes<'_>,
            ) -> Self {
                Self {
                    $( $field: <$type as $crate::bounded::Bounded>::read(section, $key, ($least, $most), notes)
                        .unwrap_or($usual), )+
                }
            }

            /// Writes each key that has not its default.
            pub(crate) fn write(&self, table: &mut toml_edit::Table) {
                $( if self.$field != $usual {
                    table.insert($key, toml_edit::value($crate::bounded::Bounded::value(self.$field)));
                } )+
            }

            /// Every key, for the schema and the example.
            pub(crate) const KEYS: &'static [$crate::bounded::Key] = &[
                $( $crate::bounded::Key {
                    name: $key,
                    about: concat!($($doc),+),
                    usual: || $crate::bounded::Bounded::value($usual),
                    least: || $crate::bounded::Bounded::value($least),
                    most: || $crate::bounded::Bounded::value($most),
                }, )+
            ];
        }
    };
}
pub(crate) use bounded;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Delivery, Limits, Provisioning, Recipients, TcpLimits};

    const FILE: &str = "version = 1\nnetwork = { hostname = \"mx.example.com\", address = \"dhcp\" }\n";

    /// The value next to this one: one more or one less of its smallest unit; none below zero.
    fn beside(value: &Value, step: i64) -> Option<Value> {
        if let Some(number) = value.as_integer() {
            return Some((number + step).into()).filter(|_| number + step >= 0);
        }
        let text = value.as_str()?;
        if let Ok(size) = text.parse::<ByteSize>() {
            return size.bytes().checked_add_signed(step).map(|bytes| format!("{bytes} B").into());
        }
        let millis = u64::try_from(text.parse::<Period>().unwrap().duration().as_millis()).unwrap();
        millis.checked_add_signed(step).map(|millis| format!("{millis} ms").into())
    }

    #[test]
    fn each_limit_holds_at_below_and_above_its_ends() {
        for (table, keys) in [
            ("limits", Limits::KEYS),
            ("limits.tcp", TcpLimits::KEYS),
            ("delivery", Delivery::KEYS),
            ("recipients", Recipients::KEYS),
            ("provisioning", Provisioning::KEYS),
        ] {
            for key in keys {
                let out_of_range = |value: Value| {
                    let text = format!("{FILE}[{table}]\n{} = {value}\n", key.name);
                    // Alone in a file, a value within its range can still be at odds with the default of another.
                    Config::parse("file", &text).is_err_and(|mistakes| {
                        mistakes.to_string().contains("expected from")
                            || mistakes.to_string().contains("expected a number")
                    })
                };
                assert!(!out_of_range((key.usual)()), "{}", key.name);
                assert!(!out_of_range((key.least)()), "{}", key.name);
                assert!(!out_of_range((key.most)()), "{}", key.name);
                assert!(beside(&(key.least)(), -1).is_none_or(out_of_range), "{}", key.name);
                assert!(beside(&(key.most)(), 1).is_some_and(out_of_range), "{}", key.name);
            }
        }
    }
}
