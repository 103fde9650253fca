#![no_main]

libfuzzer_sys::fuzz_target!(|texts: (&str, &str, &str)| {
    let (host, prefix, path) = texts;
    cutover_proxy::fuzzing::routes(host, prefix, path);
});
