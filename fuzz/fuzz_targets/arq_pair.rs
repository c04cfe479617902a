#![no_main]
libfuzzer_sys::fuzz_target!(init: chat_fuzz::targets::arq_pair::prepare(), |data: &[u8]| chat_fuzz::targets::arq_pair::run(data));
