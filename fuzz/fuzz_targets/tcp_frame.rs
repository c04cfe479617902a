#![no_main]
libfuzzer_sys::fuzz_target!(init: chat_fuzz::targets::tcp_frame::prepare(), |data: &[u8]| chat_fuzz::targets::tcp_frame::run(data));
