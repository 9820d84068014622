//! Tokens to statements.

use super::Mistake;
use super::lexer::{Kind, Token, tokens};
use super::syntax::{Function, Instruction, Module, Operand, Scope, VariableSpace};
use super::variable::{constant, integer_of};

/// Blocks in braces may nest this deep; nvcc writes three levels at most.
const DEEPEST: usize = 64;

/// Reads a whole text.
///
/// # Errors
///
/// The first place where the text is not PTX.
pub(crate) fn parse(text: &str) -> Result<Module<'_>, Mistake> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, source: (0, 0) };
    let mut module = Module::default();
    while parser.peek().is_some() {
        parser.directive(&mut module)?;
    }
    if module.version == (0, 0) {
        return Err(Mistake::at(1, "the text does not begin with `.version`: it is not PTX"));
    }
    Ok(module)
}

pub(super) struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    /// The `.loc` in force.
    source: (u32, u32),
}

impl<'a> Parser<'a> {
    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    pub(super) fn line(&self) -> u32 {
        self.peek().or_else(|| self.tokens.last().copied()).map_or(1, |token| token.line)
    }

    pub(super) fn mistake<T>(&self, expected: &str) -> Result<T, Mistake> {
        let found = self.peek().map_or("the end of the text".to_owned(), |token| format!("`{}`", token.text));
        Err(Mistake::at(self.line(), format!("expected {expected}, found {found}")))
    }

    pub(super) fn is_mark(&self, mark: u8) -> bool {
        self.peek().is_some_and(|token| token.kind == Kind::Mark(mark))
    }

    pub(super) fn takes(&mut self, mark: u8) -> bool {
        let is_there = self.is_mark(mark);
        self.at += usize::from(is_there);
        is_there
    }

    pub(super) fn expect(&mut self, mark: u8) -> Result<(), Mistake> {
        if self.takes(mark) { Ok(()) } else { self.mistake(&format!("`{}`", mark as char)) }
    }

    pub(super) fn takes_word(&mut self, word: &str) -> bool {
        let is_there = self.peek().is_some_and(|token| token.kind == Kind::Word && token.text == word);
        self.at += usize::from(is_there);
        is_there
    }

    pub(super) fn word(&mut self, expected: &str) -> Result<&'a str, Mistake> {
        match self.peek() {
            Some(Token { kind: Kind::Word, text, .. }) => {
                self.at += 1;
                Ok(text)
            }
            _ => self.mistake(expected),
        }
    }

    /// A number with its sign.
    pub(super) fn number(&mut self) -> Result<Operand<'a>, Mistake> {
        let is_negative = self.takes(b'-');
        let Some(Token { kind: Kind::Number, text, .. }) = self.peek() else {
            return self.mistake("a number");
        };
        let Some(value) = constant(text, is_negative) else { return self.mistake("a number") };
        self.at += 1;
        Ok(value)
    }

    pub(super) fn integer(&mut self) -> Result<u64, Mistake> {
        match self.number()? {
            Operand::Integer(value) => Ok(value),
            _ => self.mistake("an integer before"),
        }
    }

    pub(super) fn small(&mut self) -> Result<u32, Mistake> {
        let value = self.integer()?;
        u32::try_from(value).or_else(|_| self.mistake("a number below 2^32 before"))
    }

    fn directive(&mut self, module: &mut Module<'a>) -> Result<(), Mistake> {
        let line = self.line();
        match self.peek().map_or("", |token| token.text) {
            ".version" => {
                self.at += 1;
                let text = self.peek().map_or("", |token| token.text);
                let parts = text.split_once('.').map(|(major, minor)| (major.parse(), minor.parse()));
                let Some((Ok(major), Ok(minor))) = parts else {
                    return self.mistake("a version such as 8.4");
                };
                module.version = (major, minor);
                self.at += 1;
            }
            ".target" => {
                self.at += 1;
                module.target = self.word("a target such as sm_80")?.to_owned();
                while self.takes(b',') {
                    self.word("a target")?;
                }
            }
            ".address_size" => {
                self.at += 1;
                if self.integer()? != 64 {
                    return Err(Mistake::at(line, "only addresses of 64 bits are supported"));
                }
            }
            ".file" => {
                self.at += 1;
                let number = self.small()?;
                let Some(Token { kind: Kind::Text, text, .. }) = self.peek() else {
                    return self.mistake("the path of a file");
                };
                self.at += 1;
                module.files.push((number, text));
                while self.takes(b',') {
                    self.integer()?;
                }
            }
            ".section" => self.section()?,
            ".pragma" | ".alias" => {
                while !self.takes(b';') {
                    self.skip("`;`")?;
                }
            }
            _ => self.declaration(module)?,
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, awaited: &str) -> Result<(), Mistake> {
        if self.peek().is_none() {
            return self.mistake(awaited);
        }
        self.at += 1;
        Ok(())
    }

    fn section(&mut self) -> Result<(), Mistake> {
        while !self.takes(b'{') {
            self.skip("`{`")?;
        }
        while !self.takes(b'}') {
            self.skip("`}`")?;
        }
        Ok(())
    }

    fn declaration(&mut self, module: &mut Module<'a>) -> Result<(), Mistake> {
        let mut is_extern = false;
        loop {
            match self.peek().map_or("", |token| token.text) {
                ".visible" | ".weak" | ".common" => self.at += 1,
                ".extern" => {
                    is_extern = true;
                    self.at += 1;
                }
                ".entry" | ".func" => return self.function(module),
                ".global" | ".const" | ".shared" => {
                    let mut variables = Vec::new();
                    self.variables(&mut variables, is_extern)?;
                    module.variables.append(&mut variables);
                    return self.expect(b';');
                }
                _ => return self.mistake("a directive that declares something"),
            }
        }
    }

    fn function(&mut self, module: &mut Module<'a>) -> Result<(), Mistake> {
        let line = self.line();
        let is_entry = self.word("`.entry` or `.func`")? == ".entry";
        while self.takes_word(".noreturn") || self.takes_word(".attribute") {
            if self.is_mark(b'(') {
                self.parameters()?;
            }
        }
        let results = if self.is_mark(b'(') { self.parameters()? } else { Vec::new() };
        let name = self.word("the name of a function")?;
        let params = if self.is_mark(b'(') { self.parameters()? } else { Vec::new() };
        let mut function = Function {
            name,
            is_entry,
            results,
            params,
            max_threads: None,
            scopes: Vec::new(),
            instructions: Vec::new(),
            line,
        };
        while let Some(token) = self.peek() {
            match token.text {
                ".maxntid" | ".reqntid" => {
                    self.at += 1;
                    let mut threads = self.small()?;
                    while self.takes(b',') {
                        threads = threads.saturating_mul(self.small()?);
                    }
                    function.max_threads = Some(threads);
                }
                ".minnctapersm" | ".maxnreg" | ".maxnctapersm" => {
                    self.at += 1;
                    self.integer()?;
                }
                ".noreturn" => self.at += 1,
                ".pragma" => {
                    while !self.takes(b';') {
                        self.skip("`;`")?;
                    }
                }
                _ => break,
            }
        }
        if !self.takes(b';') {
            self.source = (0, 0);
            self.expect(b'{')?;
            self.block(&mut function, 0, 0)?;
        }
        module.functions.push(function);
        Ok(())
    }

    /// A block behind its opening brace.
    fn block(&mut self, function: &mut Function<'a>, parent: usize, depth: usize) -> Result<(), Mistake> {
        if depth > DEEPEST {
            return Err(Mistake::at(self.line(), "braces nest too deep"));
        }
        let scope = function.scopes.len();
        function.scopes.push(Scope { parent, ..Scope::default() });
        while !self.takes(b'}') {
            let Some(token) = self.peek() else { return self.mistake("`}`") };
            match token.text {
                "{" => {
                    self.at += 1;
                    self.block(function, scope, depth + 1)?;
                }
                ";" => self.at += 1,
                ".loc" => self.location()?,
                ".pragma" => {
                    while !self.takes(b';') {
                        self.skip("`;`")?;
                    }
                }
                ".reg" | ".local" | ".shared" | ".param" | ".global" | ".const" | ".extern" => {
                    let is_extern = self.takes_word(".extern");
                    self.variables(&mut function.scopes[scope].variables, is_extern)?;
                    self.expect(b';')?;
                }
                _ if self.is_label() => self.label(function, scope)?,
                _ => {
                    let instruction = self.instruction(scope)?;
                    function.instructions.push(instruction);
                }
            }
        }
        Ok(())
    }

    fn location(&mut self) -> Result<(), Mistake> {
        self.at += 1;
        let (file, line) = (self.small()?, self.small()?);
        self.small()?;
        // Line 0 stands for code that the compiler made up; the line before it says more.
        if line != 0 || self.source.0 != file {
            self.source = (file, line);
        }
        // `, function_name label, inlined_at file line column`
        while self.takes(b',') {
            self.word("`function_name` or `inlined_at`")?;
            while !self.is_mark(b',')
                && self.peek().is_some_and(|token| {
                    matches!(token.kind, Kind::Number | Kind::Mark(b'+')) || token.text.starts_with('$')
                })
            {
                self.at += 1;
            }
        }
        Ok(())
    }

    fn is_label(&self) -> bool {
        let next = self.tokens.get(self.at + 1).map(|token| token.kind);
        self.peek().is_some_and(|token| token.kind == Kind::Word) && next == Some(Kind::Mark(b':'))
    }

    fn label(&mut self, function: &mut Function<'a>, scope: usize) -> Result<(), Mistake> {
        let name = self.word("a label")?;
        self.expect(b':')?;
        if self.takes_word(".branchtargets") || self.takes_word(".calltargets") {
            let mut names = vec![self.word("a label")?];
            while self.takes(b',') {
                names.push(self.word("a label")?);
            }
            function.scopes[scope].targets.push((name, names));
            return self.expect(b';');
        }
        if self.takes_word(".callprototype") {
            while !self.takes(b';') {
                self.skip("`;`")?;
            }
            function.scopes[scope].targets.push((name, Vec::new()));
            return Ok(());
        }
        let at = function.instructions.len();
        function.scopes[scope].labels.push((name, at));
        Ok(())
    }

    fn instruction(&mut self, scope: usize) -> Result<Instruction<'a>, Mistake> {
        let line = self.line();
        let guard = if self.takes(b'@') {
            let is_negated = self.takes(b'!');
            Some((self.word("a predicate")?, is_negated))
        } else {
            None
        };
        let opcode = self.word("an instruction")?;
        let mut operands = Vec::new();
        if !self.is_mark(b';') {
            operands.push(self.operand(0)?);
            while self.takes(b',') {
                operands.push(self.operand(0)?);
            }
        }
        self.expect(b';')?;
        Ok(Instruction { guard, opcode, operands, line, source: self.source, scope })
    }

    fn operand(&mut self, depth: usize) -> Result<Operand<'a>, Mistake> {
        let Some(token) = self.peek() else { return self.mistake("an operand") };
        if depth > 2 {
            return self.mistake("an operand that nests less deep");
        }
        let first = match token.kind {
            Kind::Mark(b'!') => {
                self.at += 1;
                Operand::Not(self.word("a predicate")?)
            }
            Kind::Mark(b'{') => Operand::Vector(self.several(b'}', depth)?),
            Kind::Mark(b'(') => Operand::List(self.several(b')', depth)?),
            Kind::Mark(b'[') => self.address()?,
            Kind::Word => {
                self.at += 1;
                let offset = self.offset()?;
                Operand::Name(token.text, offset)
            }
            _ => self.number()?,
        };
        if self.takes(b'|') {
            let second = self.operand(depth + 1)?;
            return Ok(Operand::Pair(Box::new([first, second])));
        }
        Ok(first)
    }

    /// Operands between a bracket and the one that closes it.
    fn several(&mut self, close: u8, depth: usize) -> Result<Vec<Operand<'a>>, Mistake> {
        self.at += 1;
        let mut found = Vec::new();
        while !self.takes(close) {
            found.push(self.operand(depth + 1)?);
            if !self.takes(b',') && !self.is_mark(close) {
                return self.mistake(&format!("`,` or `{}`", close as char));
            }
        }
        Ok(found)
    }

    fn offset(&mut self) -> Result<i64, Mistake> {
        if !self.takes(b'+') {
            return Ok(if self.is_mark(b'-') { self.integer()? as i64 } else { 0 });
        }
        Ok(self.integer()? as i64)
    }

    fn address(&mut self) -> Result<Operand<'a>, Mistake> {
        self.expect(b'[')?;
        let found = match self.peek() {
            Some(Token { kind: Kind::Word, text, .. }) => {
                self.at += 1;
                Operand::Address(Some(text), self.offset()?)
            }
            _ => Operand::Address(None, self.integer()? as i64),
        };
        self.expect(b']')?;
        Ok(found)
    }

    pub(super) fn bounded(&self, value: Option<u64>) -> Result<u64, Mistake> {
        match value {
            Some(value) => Ok(value),
            None => Err(Mistake::at(self.line(), "a variable of more than 2^32 bytes")),
        }
    }

    pub(super) fn literal_bits(&mut self, bytes: u64) -> Result<u64, Mistake> {
        let line = self.line();
        match self.number()? {
            Operand::Integer(value) => Ok(value),
            Operand::Float32(bits) if bytes == 8 => Ok(f64::from(f32::from_bits(bits)).to_bits()),
            Operand::Float32(bits) => Ok(bits.into()),
            Operand::Float64(bits) if bytes == 4 => Ok((f64::from_bits(bits) as f32).to_bits().into()),
            Operand::Float64(bits) => Ok(bits),
            _ => Err(Mistake::at(line, "expected a number")),
        }
    }

    pub(super) fn number_at_hand(&self) -> Option<u64> {
        self.peek().filter(|token| token.kind == Kind::Number).and_then(|token| integer_of(token.text))
    }

    pub(super) fn space(&mut self) -> Result<VariableSpace, Mistake> {
        let found = match self.peek().map_or("", |token| token.text) {
            ".reg" => VariableSpace::Register,
            ".param" => VariableSpace::Param,
            ".local" => VariableSpace::Local,
            ".shared" => VariableSpace::Shared,
            ".global" => VariableSpace::Global,
            ".const" => VariableSpace::Const,
            _ => return self.mistake("a state space such as `.shared`"),
        };
        self.at += 1;
        Ok(found)
    }
}
