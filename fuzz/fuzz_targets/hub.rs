#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| npd_agent::fuzz::hub(bytes));
