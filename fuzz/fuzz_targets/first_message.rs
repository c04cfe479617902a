#![no_main]
libfuzzer_sys::fuzz_target!(init: chat_fuzz::targets::first_message::prepare(), |data: &[u8]| chat_fuzz::targets::first_message::run(data));
