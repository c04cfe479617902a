#![no_main]
libfuzzer_sys::fuzz_target!(init: chat_fuzz::targets::sealed_row::prepare(), |data: &[u8]| chat_fuzz::targets::sealed_row::run(data));
