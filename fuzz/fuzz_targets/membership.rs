#![no_main]
libfuzzer_sys::fuzz_target!(init: chat_fuzz::targets::membership::prepare(), |data: &[u8]| chat_fuzz::targets::membership::run(data));
