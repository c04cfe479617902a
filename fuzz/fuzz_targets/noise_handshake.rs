#![no_main]
libfuzzer_sys::fuzz_target!(init: chat_fuzz::targets::noise_handshake::prepare(), |data: &[u8]| chat_fuzz::targets::noise_handshake::run(data));
