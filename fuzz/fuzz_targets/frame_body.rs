#![no_main]
libfuzzer_sys::fuzz_target!(init: chat_fuzz::targets::frame_body::prepare(), |data: &[u8]| chat_fuzz::targets::frame_body::run(data));
