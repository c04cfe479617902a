#![no_main]
libfuzzer_sys::fuzz_target!(init: chat_fuzz::targets::relay_record::prepare(), |data: &[u8]| chat_fuzz::targets::relay_record::run(data));
