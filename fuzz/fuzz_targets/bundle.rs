#![no_main]
libfuzzer_sys::fuzz_target!(init: chat_fuzz::targets::bundle::prepare(), |data: &[u8]| chat_fuzz::targets::bundle::run(data));
