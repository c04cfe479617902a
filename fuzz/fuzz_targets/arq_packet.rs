#![no_main]
libfuzzer_sys::fuzz_target!(init: chat_fuzz::targets::arq_packet::prepare(), |data: &[u8]| chat_fuzz::targets::arq_packet::run(data));
