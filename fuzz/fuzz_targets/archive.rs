#![no_main]
libfuzzer_sys::fuzz_target!(init: chat_fuzz::targets::archive::prepare(), |data: &[u8]| chat_fuzz::targets::archive::run(data));
