#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steam_fuzz::readers::answer(data));
