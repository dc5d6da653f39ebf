//! Any text is read or told to be wrong; what was read is written so that it reads back as the same, as TOML and as
//! JSON.
#![no_main]

use config_schema::{Config, SecretMode};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(json) = serde_json::from_str(text) {
        let _ = Config::from_json(&json, None);
    }
    let config = match Config::parse("file", text) {
        Ok(config) => config,
        Err(mistakes) => {
            assert!(mistakes.lines().iter().all(|line| !line.contains('\n')));
            return;
        }
    };
    let export = config.export(&SecretMode::Plain).expect("a plain export needs nothing");
    assert_eq!(Config::parse("export", &export).as_ref(), Ok(&config), "{export}");
    assert_eq!(Config::from_json(&config.to_json(), Some(&config)).as_ref(), Ok(&config));
});
