#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cutover_proxy::fuzzing::proxy_protocol(bytes));
