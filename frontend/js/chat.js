/* The playground's elements: loaded on its page only. */
import "./elements/answer.js";
import "./elements/chat.js";
