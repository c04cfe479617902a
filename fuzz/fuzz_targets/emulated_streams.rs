#![no_main]
libfuzzer_sys::fuzz_target!(init: chat_fuzz::targets::emulated_streams::prepare(), |data: &[u8]| chat_fuzz::targets::emulated_streams::run(data));
